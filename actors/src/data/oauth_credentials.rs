//! An organization's own clients at providers. Secrets arrive sealed and leave sealed.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::memory::{Fact, Memory, Recall, Shelf};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`OauthCredential`], for every statement that reads one.
macro_rules! select_credential {
    () => {
        "SELECT c.public_id, c.version_id, c.org_id, c.provider, c.client_id, c.client_secret_sealed, c.issuer, \
         c.created_at, c.updated_at, c.deleted_at FROM oauth_credentials c WHERE c.org_id = $1"
    };
}

statements! {
    OAUTH_CREDENTIAL = concat!(select_credential!(), " AND c.provider = $2");
    OAUTH_CREDENTIALS = concat!(select_credential!(), " ORDER BY c.provider LIMIT 16");
    STATUS_OF_ORGANIZATION = "SELECT status FROM organizations WHERE id = $1";
    FORGET_OAUTH_CREDENTIAL = "DELETE FROM oauth_credentials WHERE org_id = $1 AND provider = $2";
    INSERT_OAUTH_CREDENTIAL = "INSERT INTO oauth_credentials (public_id, version_id, org_id, provider, client_id, \
        client_secret_sealed, issuer, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    REPLACE_OAUTH_CREDENTIAL = "UPDATE oauth_credentials SET version_id = $1, client_id = $2, \
        client_secret_sealed = $3, issuer = $4, updated_at = $5 WHERE org_id = $6 AND provider = $7";
    DELETE_OAUTH_CREDENTIAL = "UPDATE oauth_credentials SET version_id = $1, client_secret_sealed = $2, \
        deleted_at = $3, updated_at = $3 WHERE org_id = $4 AND provider = $5";
}

/// A client of an organization at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthCredential {
    /// UUID for the outside.
    pub public_id: String,
    /// UUID of what it is now: another one after every change. Never used twice.
    pub version_id: String,
    /// Row id of the organization.
    pub org_id: i64,
    /// `github`, `google`, `microsoft` or `oidc`.
    pub provider: String,
    /// The client id that the provider gave.
    pub client_id: String,
    /// The client secret, sealed for its organization, provider and version.
    pub client_secret_sealed: Vec<u8>,
    /// The issuer, for `oidc`.
    pub issuer: Option<String>,
    /// When it was first saved.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// When it was taken away. The provider is off then, and nobody else's client stands in.
    pub deleted_at: Option<Millis>,
}

/// Without the ciphertext: it has no business in a log.
impl std::fmt::Debug for OauthCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthCredential")
            .field("version_id", &self.version_id)
            .field("org_id", &self.org_id)
            .field("provider", &self.provider)
            .field("deleted_at", &self.deleted_at)
            .finish_non_exhaustive()
    }
}

impl OauthCredential {
    /// Whether it is used for signing in.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }

    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            public_id: row.get(0)?,
            version_id: row.get(1)?,
            org_id: row.get(2)?,
            provider: row.get(3)?,
            client_id: row.get(4)?,
            client_secret_sealed: row.get(5)?,
            issuer: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            deleted_at: row.get(9)?,
        })
    }
}

/// The organization's client at this provider, live or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OauthCredentialOf {
    /// Row id of the organization.
    pub org_id: i64,
    /// The provider.
    pub provider: String,
}

impl ReadOp for OauthCredentialOf {
    type Output = Option<OauthCredential>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        find(tx, self.org_id, &self.provider)
    }
}

/// The same, as every sign-in asks: that the organization has none is an answer, too, and most have none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnOauthCredential(pub OauthCredentialOf);

impl ReadOp for OwnOauthCredential {
    type Output = Option<Option<OauthCredential>>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        self.0.run(tx).map(Some)
    }
}

impl Recall for OwnOauthCredential {
    type Answer = Option<OauthCredential>;

    fn facts(_: &Self::Answer) -> Vec<Fact> {
        vec![Fact::OauthCredentials]
    }

    fn shelf(memory: &Memory) -> &Shelf<Self> {
        &memory.oauth_credentials
    }
}

fn find(tx: &mut ReadTx<'_>, org_id: i64, provider: &str) -> Result<Option<OauthCredential>, StoreError> {
    tx.optional(OAUTH_CREDENTIAL, values![org_id, provider], OauthCredential::from_row)
}

/// Every client of the organization, live or deleted, in the order of the providers' names.
#[derive(Debug, Clone, Copy)]
pub struct OauthCredentialsOf {
    /// Row id of the organization.
    pub org_id: i64,
}

impl ReadOp for OauthCredentialsOf {
    type Output = Vec<OauthCredential>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(OAUTH_CREDENTIALS, values![self.org_id], OauthCredential::from_row)
    }
}

/// Whether what a sign-in was started with is what is there now. `None` stands for the platform's client.
pub(crate) fn is_current(
    tx: &mut ReadTx<'_>,
    org_id: i64,
    provider: &str,
    version_id: Option<&str>,
) -> Result<bool, StoreError> {
    let now = find(tx, org_id, provider)?;
    Ok(match (&now, version_id) {
        (None, None) => true,
        (Some(credential), Some(version)) => credential.is_live() && credential.version_id == version,
        _ => false,
    })
}

/// Saves the organization's client, in the place of what was there before.
#[derive(Clone)]
pub struct SaveOauthCredential {
    /// Row id of the organization.
    pub org_id: i64,
    /// The provider.
    pub provider: String,
    /// UUID for the outside, if there is none yet.
    pub public_id: String,
    /// UUID of this version, for which the secret is sealed.
    pub version_id: String,
    /// The client id that the provider gave.
    pub client_id: String,
    /// The client secret, sealed.
    pub client_secret_sealed: Vec<u8>,
    /// The issuer, for `oidc`.
    pub issuer: Option<String>,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// A client was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedOauthCredential {
    /// As it is now.
    pub credential: OauthCredential,
    /// Whether it took the place of another.
    pub replaced: bool,
}

/// The organization is not active; its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationNotActive(pub String);

impl WriteOp for SaveOauthCredential {
    type Output = SavedOauthCredential;
    type Refused = OrganizationNotActive;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<SavedOauthCredential, OpError<OrganizationNotActive>> {
        let status = tx.one(STATUS_OF_ORGANIZATION, values![self.org_id], |row| row.get::<String>(0))?;
        if status != "active" {
            return Err(OpError::Refused(OrganizationNotActive(status)));
        }
        let before = find(tx, self.org_id, &self.provider)?.filter(OauthCredential::is_live);
        let sealed = self.client_secret_sealed.as_slice();
        if before.is_some() {
            let values = values![
                &self.version_id,
                &self.client_id,
                sealed,
                &self.issuer,
                self.audit.now,
                self.org_id,
                &self.provider,
            ];
            tx.execute(REPLACE_OAUTH_CREDENTIAL, values)?;
        } else {
            // What was deleted left nothing that a new one should inherit.
            tx.execute(FORGET_OAUTH_CREDENTIAL, values![self.org_id, &self.provider])?;
            let values = values![
                &self.public_id,
                &self.version_id,
                self.org_id,
                &self.provider,
                &self.client_id,
                sealed,
                &self.issuer,
                self.audit.now,
            ];
            tx.execute(INSERT_OAUTH_CREDENTIAL, values)?;
        }
        let values = values![self.org_id, &self.provider];
        let credential = tx.one(OAUTH_CREDENTIAL, values, OauthCredential::from_row)?;
        append(tx, &self.audit, &saved_entry(before.as_ref(), &credential))?;
        Ok(SavedOauthCredential { credential, replaced: before.is_some() })
    }
}

/// Client ids and issuers are no secrets; secrets are not mentioned, sealed or not.
fn saved_entry<'a>(before: Option<&OauthCredential>, after: &'a OauthCredential) -> Happened<'a> {
    let shown = |one: &OauthCredential| json!({ "client_id": one.client_id, "issuer": one.issuer });
    Happened {
        org_id: after.org_id,
        action: if before.is_some() { "oauth_credential.replaced" } else { "oauth_credential.created" },
        target: ("oauth_credential", &after.public_id),
        metadata: json!({ "provider": after.provider, "before": before.map(shown), "after": shown(after) }),
    }
}

/// Takes the organization's client away. Its secret is gone at once.
#[derive(Debug, Clone)]
pub struct DeleteOauthCredential {
    /// Row id of the organization.
    pub org_id: i64,
    /// The provider.
    pub provider: String,
    /// UUID of the state after this, which no sign-in was started with.
    pub version_id: String,
    /// Whether the platform's own client serves the organization again. Else the provider is off.
    pub restore_default: bool,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// There is nothing to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownOauthCredential;

impl WriteOp for DeleteOauthCredential {
    type Output = ();
    type Refused = UnknownOauthCredential;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<UnknownOauthCredential>> {
        let found = find(tx, self.org_id, &self.provider)?;
        let Some(found) = found.filter(|found| found.is_live() || self.restore_default) else {
            return Err(OpError::Refused(UnknownOauthCredential));
        };
        if self.restore_default {
            tx.execute(FORGET_OAUTH_CREDENTIAL, values![self.org_id, &self.provider])?;
        } else {
            let nothing: &[u8] = &[];
            let values = values![&self.version_id, nothing, self.audit.now, self.org_id, &self.provider];
            tx.execute(DELETE_OAUTH_CREDENTIAL, values)?;
        }
        let happened = Happened {
            org_id: self.org_id,
            action: "oauth_credential.deleted",
            target: ("oauth_credential", &found.public_id),
            metadata: json!({
                "provider": self.provider,
                "client_id": found.client_id,
                "restore_default": self.restore_default,
            }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}
