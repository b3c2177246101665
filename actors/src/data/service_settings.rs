//! What an organization knows and decides about a service. What it does with it stands in [`super::service_admin`].

use serde_json::{Map, Value as Json, json};

use super::client_registration::{
    ClientRegistration, REGISTRATION_COLUMNS, RegistrationChanges, registration_columns,
};
use super::{json_list, looks_like_public_id, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row};
use crate::error::StoreError;
use crate::{statements, values};

/// The columns of [`ServiceRecord`], for every statement that reads one.
macro_rules! select_record {
    () => {
        concat!(
            "SELECT s.id, s.public_id, s.slug, s.client_id, s.created_at, EXISTS (SELECT 1 FROM client_secrets c \
             WHERE c.service_id = s.id AND c.expires_at IS NULL), s.name, s.service_type, s.redirect_uris, \
             s.post_logout_redirect_uris, s.github_scopes, s.google_scopes, s.microsoft_scopes, \
             s.device_activation_uri, ",
            registration_columns!()
        )
    };
}
pub(super) use select_record;

/// How many columns [`select_record`] has.
pub(super) const RECORD_COLUMNS: usize = 14 + REGISTRATION_COLUMNS;

statements! {
    RECORD_BY_PUBLIC_ID = concat!(select_record!(), " FROM services s WHERE s.public_id = $1 AND s.org_id = $2 \
        AND s.deleted_at IS NULL");
    RECORD_BY_SLUG = concat!(select_record!(), " FROM services s WHERE s.slug = $1 AND s.org_id = $2 \
        AND s.deleted_at IS NULL");
}

/// What an organization decides about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Name on pages.
    pub name: String,
    /// `web`, `mobile`, `desktop` or `api`.
    pub service_type: String,
    /// Registered redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Where a logout may lead.
    pub post_logout_redirect_uris: Vec<String>,
    /// Scopes to ask GitHub for.
    pub github_scopes: Vec<String>,
    /// Scopes to ask Google for.
    pub google_scopes: Vec<String>,
    /// Scopes to ask Microsoft for.
    pub microsoft_scopes: Vec<String>,
    /// The organization's own activation page, instead of the hosted one.
    pub device_activation_uri: Option<String>,
    /// What it registers as an OAuth client.
    pub registration: ClientRegistration,
}

impl ServiceSettings {
    /// The lists as they are stored, in the order of the columns.
    pub(super) fn lists(&self) -> [String; 5] {
        [
            json_list(&self.redirect_uris),
            json_list(&self.post_logout_redirect_uris),
            json_list(&self.github_scopes),
            json_list(&self.google_scopes),
            json_list(&self.microsoft_scopes),
        ]
    }

    /// The members by name, as the outside knows them.
    pub(super) fn members(&self) -> Map<String, Json> {
        let members = json!({
            "name": self.name,
            "service_type": self.service_type,
            "redirect_uris": self.redirect_uris,
            "post_logout_redirect_uris": self.post_logout_redirect_uris,
            "github_scopes": self.github_scopes,
            "google_scopes": self.google_scopes,
            "microsoft_scopes": self.microsoft_scopes,
            "device_activation_uri": self.device_activation_uri,
        });
        let mut members = if let Json::Object(members) = members { members } else { Map::new() };
        members.extend(self.registration.members());
        members
    }

    fn from_row(row: &Row<'_, '_>, first: usize) -> Result<Self, StoreError> {
        let list = |index: usize, column| string_list("services", column, &row.get::<String>(first + index)?);
        Ok(Self {
            name: row.get(first)?,
            service_type: row.get(first + 1)?,
            redirect_uris: list(2, "redirect_uris")?,
            post_logout_redirect_uris: list(3, "post_logout_redirect_uris")?,
            github_scopes: list(4, "github_scopes")?,
            google_scopes: list(5, "google_scopes")?,
            microsoft_scopes: list(6, "microsoft_scopes")?,
            device_activation_uri: row.get(first + 7)?,
            registration: ClientRegistration::from_row(row, first + 8)?,
        })
    }
}

/// What to change about a service. `None` leaves a member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the members are those of ServiceSettings
pub struct ServiceChanges {
    pub name: Option<String>,
    pub service_type: Option<String>,
    pub redirect_uris: Option<Vec<String>>,
    pub post_logout_redirect_uris: Option<Vec<String>>,
    pub github_scopes: Option<Vec<String>>,
    pub google_scopes: Option<Vec<String>>,
    pub microsoft_scopes: Option<Vec<String>>,
    /// `Some(None)` goes back to the hosted page.
    pub device_activation_uri: Option<Option<String>>,
    pub registration: RegistrationChanges,
}

impl ServiceChanges {
    pub(super) fn applied_to(&self, old: &ServiceSettings) -> ServiceSettings {
        fn or<T: Clone>(new: Option<&T>, old: &T) -> T {
            new.unwrap_or(old).clone()
        }
        ServiceSettings {
            name: or(self.name.as_ref(), &old.name),
            service_type: or(self.service_type.as_ref(), &old.service_type),
            redirect_uris: or(self.redirect_uris.as_ref(), &old.redirect_uris),
            post_logout_redirect_uris: or(
                self.post_logout_redirect_uris.as_ref(),
                &old.post_logout_redirect_uris,
            ),
            github_scopes: or(self.github_scopes.as_ref(), &old.github_scopes),
            google_scopes: or(self.google_scopes.as_ref(), &old.google_scopes),
            microsoft_scopes: or(self.microsoft_scopes.as_ref(), &old.microsoft_scopes),
            device_activation_uri: or(self.device_activation_uri.as_ref(), &old.device_activation_uri),
            registration: self.registration.applied_to(&old.registration),
        }
    }
}

/// A service with all its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// Name in URLs, unique among the organization's live services.
    pub slug: String,
    /// RFC 6749 client identifier.
    pub client_id: String,
    /// When it was made.
    pub created_at: Millis,
    /// Whether it has a secret, which makes it a confidential client.
    pub has_client_secret: bool,
    /// What the organization decides.
    pub settings: ServiceSettings,
}

impl ServiceRecord {
    pub(super) fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            slug: row.get(2)?,
            client_id: row.get(3)?,
            created_at: row.get(4)?,
            has_client_secret: row.get(5)?,
            settings: ServiceSettings::from_row(row, 6)?,
        })
    }
}

/// A live service as a path names it: the organization that was checked, and a slug or public id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceReference {
    /// Row id of the organization. A service of another one is as good as none.
    pub org_id: i64,
    /// Slug or public id.
    pub reference: String,
}

impl ServiceReference {
    pub(crate) fn find(&self, tx: &mut ReadTx<'_>) -> Result<Option<ServiceRecord>, StoreError> {
        let by_public_id = looks_like_public_id(&self.reference);
        let statement = if by_public_id { RECORD_BY_PUBLIC_ID } else { RECORD_BY_SLUG };
        tx.optional(statement, values![&self.reference, self.org_id], ServiceRecord::from_row)
    }
}
