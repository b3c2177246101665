//! Services: the OAuth clients of an organization.

use super::client_registration::{AuthMethod, ClientRegistration};
use super::string_list;
use crate::engine::{ReadTx, Row};
use crate::error::StoreError;
use crate::memory::{Fact, Memory, Recall, Shelf};
use crate::message::ReadOp;
use crate::{statements, values};

/// The columns of [`Service`], for every statement that reads one.
macro_rules! select_service {
    () => {
        concat!(
            "SELECT s.id, s.org_id, s.slug, s.name, s.client_id, s.redirect_uris, s.device_activation_uri, o.slug, \
             o.name, o.status, o.is_platform, EXISTS (SELECT 1 FROM client_secrets c WHERE c.service_id = s.id \
             AND c.expires_at IS NULL), s.service_type, s.post_logout_redirect_uris, s.github_scopes, \
              s.google_scopes, s.microsoft_scopes, ",
            $crate::data::client_registration::registration_columns!(),
            " FROM services s JOIN organizations o ON o.id = s.org_id"
        )
    };
}
pub(crate) use select_service;

statements! {
    SERVICE_BY_CLIENT_ID = concat!(select_service!(), " WHERE s.client_id = $1 AND s.deleted_at IS NULL");
    SERVICE_BY_SLUGS = concat!(select_service!(), " WHERE o.slug = $1 AND s.slug = $2 AND s.deleted_at IS NULL");
    SERVICE_BY_ID = concat!(select_service!(), " WHERE s.id = $1 AND s.deleted_at IS NULL");
}

/// A service together with what sign-in must know of its organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Row id.
    pub id: i64,
    /// Row id of the organization, which is also the realm of the service's users.
    pub org_id: i64,
    /// Name in URLs, unique in the organization.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// RFC 6749 client identifier.
    pub client_id: String,
    /// Registered redirect URIs, compared character for character.
    pub redirect_uris: Vec<String>,
    /// The organization's own activation page, instead of the hosted one.
    pub device_activation_uri: Option<String>,
    /// The organization's name in URLs.
    pub org_slug: String,
    /// The organization's name on pages.
    pub org_name: String,
    /// `pending`, `active`, `suspended` or `rejected`.
    pub org_status: String,
    /// Whether this is the platform realm.
    pub is_platform: bool,
    /// How it authenticates (RFC 6749, section 2.3). With [`AuthMethod::ClientSecretBasic`] that it did not choose
    /// itself, its secret is welcome in the body as well.
    pub auth_method: AuthMethod,
    /// Whether it has to authenticate (RFC 6749, section 2.1).
    pub is_confidential: bool,
    /// Scopes to ask GitHub for, beyond those that signing in needs.
    pub github_scopes: Vec<String>,
    /// The same for Google.
    pub google_scopes: Vec<String>,
    /// The same for Microsoft.
    pub microsoft_scopes: Vec<String>,
    /// `web`, `mobile`, `desktop` or `api`.
    pub service_type: String,
    /// Where a logout may lead.
    pub post_logout_redirect_uris: Vec<String>,
    /// What it registers as an OAuth client.
    pub registration: ClientRegistration,
}

impl Service {
    /// Whether users of the organization can sign in and use tokens.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.org_status == "active"
    }

    /// What to ask the provider for, beyond what signing in needs.
    #[must_use]
    pub fn provider_scopes(&self, provider: &str) -> &[String] {
        match provider {
            "github" => &self.github_scopes,
            "google" => &self.google_scopes,
            "microsoft" => &self.microsoft_scopes,
            _ => &[],
        }
    }

    /// What is told here rests on these.
    fn facts(&self) -> Vec<Fact> {
        vec![Fact::Service(self.id), Fact::Organization(self.org_id), Fact::ClientSecrets]
    }

    pub(crate) fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let registration = ClientRegistration::from_row(row, 17)?;
        let auth_method = registration.auth_method(row.get(11)?);
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            slug: row.get(2)?,
            name: row.get(3)?,
            client_id: row.get(4)?,
            redirect_uris: string_list("services", "redirect_uris", &row.get::<String>(5)?)?,
            device_activation_uri: row.get(6)?,
            org_slug: row.get(7)?,
            org_name: row.get(8)?,
            org_status: row.get(9)?,
            is_platform: row.get(10)?,
            auth_method,
            is_confidential: auth_method != AuthMethod::None,
            service_type: row.get(12)?,
            post_logout_redirect_uris: string_list(
                "services",
                "post_logout_redirect_uris",
                &row.get::<String>(13)?,
            )?,
            github_scopes: string_list("services", "github_scopes", &row.get::<String>(14)?)?,
            google_scopes: string_list("services", "google_scopes", &row.get::<String>(15)?)?,
            microsoft_scopes: string_list("services", "microsoft_scopes", &row.get::<String>(16)?)?,
            registration,
        })
    }
}

/// Which service has this client identifier?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceByClientId {
    /// As sent by the client.
    pub client_id: String,
}

impl ReadOp for ServiceByClientId {
    type Output = Option<Service>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(SERVICE_BY_CLIENT_ID, values![&self.client_id], Service::from_row)
    }
}

impl Recall for ServiceByClientId {
    type Answer = Service;

    fn facts(service: &Service) -> Vec<Fact> {
        service.facts()
    }

    fn shelf(memory: &Memory) -> &Shelf<Self> {
        &memory.services
    }
}

/// Which service is this one of that organization?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceBySlugs {
    /// The organization's slug.
    pub org_slug: String,
    /// The service's slug.
    pub service_slug: String,
}

impl ReadOp for ServiceBySlugs {
    type Output = Option<Service>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(SERVICE_BY_SLUGS, values![&self.org_slug, &self.service_slug], Service::from_row)
    }
}

impl Recall for ServiceBySlugs {
    type Answer = Service;

    fn facts(service: &Service) -> Vec<Fact> {
        service.facts()
    }

    fn shelf(memory: &Memory) -> &Shelf<Self> {
        &memory.services_by_slugs
    }
}

/// The service in this row.
#[derive(Debug, Clone, Copy)]
pub struct ServiceById {
    /// Row id.
    pub id: i64,
}

impl ReadOp for ServiceById {
    type Output = Option<Service>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(SERVICE_BY_ID, values![self.id], Service::from_row)
    }
}
