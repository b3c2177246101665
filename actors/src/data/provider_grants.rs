//! The provider-token vault: what users granted services at providers. Tokens arrive sealed and leave sealed.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use super::users::Profile;
use super::{json_list, oauth_credentials, provider_revocations, string_list, waiting_grants};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, Statement, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// One entry in the audit log tells of the reads of this long: an hour.
const AUDITED_SPAN: Millis = 60 * 60 * 1000;

/// The columns of [`ProviderGrant`], for every statement that reads one.
macro_rules! select_grant {
    () => {
        "SELECT g.id, g.org_id, g.user_id, g.service_id, g.provider, g.issuer, g.subject, g.credential_version, \
         g.generation, g.is_over, g.scopes, g.access_token_sealed, g.refresh_token_sealed, g.access_expires_at, \
         g.failures FROM provider_grants g"
    };
}

statements! {
    ORGANIZATION_KEY = "SELECT key_sealed FROM organization_keys WHERE org_id = $1";
    INSERT_ORGANIZATION_KEY = "INSERT INTO organization_keys (org_id, key_sealed, created_at) VALUES ($1, $2, $3) \
        ON CONFLICT (org_id) DO NOTHING";
    GRANT_OF_SESSION = concat!(select_grant!(), " JOIN sessions x ON x.user_id = g.user_id \
        AND x.service_id = g.service_id WHERE x.id = $1 AND g.provider = $2");
    // Only while somebody could use the token: an active organization, a live service.
    USABLE_GRANT = concat!(select_grant!(), " JOIN organizations o ON o.id = g.org_id JOIN services s \
        ON s.id = g.service_id WHERE g.id = $1 AND o.status = 'active' AND s.deleted_at IS NULL");
    STORE_GRANT = "INSERT INTO provider_grants (org_id, user_id, service_id, provider, issuer, subject, \
        credential_version, scopes, access_token_sealed, refresh_token_sealed, access_expires_at, refresh_due_at, \
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) \
        ON CONFLICT (user_id, service_id, provider) DO UPDATE SET refresh_token_sealed = \
        CASE WHEN provider_grants.issuer = excluded.issuer AND provider_grants.subject = excluded.subject \
        AND COALESCE(provider_grants.credential_version, '') = COALESCE(excluded.credential_version, '') \
        AND NOT provider_grants.is_over \
        THEN COALESCE(excluded.refresh_token_sealed, provider_grants.refresh_token_sealed) \
        ELSE excluded.refresh_token_sealed END, issuer = excluded.issuer, subject = excluded.subject, \
        credential_version = excluded.credential_version, generation = provider_grants.generation + 1, \
        is_over = FALSE, scopes = excluded.scopes, access_token_sealed = excluded.access_token_sealed, \
        access_expires_at = excluded.access_expires_at, refresh_due_at = excluded.refresh_due_at, failures = 0, \
        updated_at = excluded.updated_at";
    PLACE_OF_RENEWAL = "SELECT x.org_id, x.service_id FROM sessions x WHERE x.public_id = $1 AND x.user_id = $2 \
        AND x.ended_at IS NULL AND x.expires_at > $3 AND EXISTS (SELECT 1 FROM identities i WHERE i.org_id = x.org_id \
        AND i.issuer = $4 AND i.subject = $5 AND i.user_id = x.user_id)";
    STORE_REFRESHED = "UPDATE provider_grants SET access_token_sealed = $1, \
        refresh_token_sealed = COALESCE($2, refresh_token_sealed), access_expires_at = $3, refresh_due_at = $4, \
        failures = 0, generation = generation + 1, updated_at = $5 WHERE id = $6 AND generation = $7";
    GRANT_IS_OVER = "UPDATE provider_grants SET is_over = TRUE, refresh_due_at = NULL, generation = generation + 1, \
        updated_at = $1 WHERE id = $2 AND generation = $3";
    READS_OF_GRANT = "SELECT g.read_hour, g.reads, u.public_id FROM provider_grants g JOIN users u \
        ON u.id = g.user_id JOIN organizations o ON o.id = g.org_id WHERE g.id = $1 AND g.generation = $2 \
        AND o.status = 'active' AND NOT g.is_over";
    COUNT_READ = "UPDATE provider_grants SET read_hour = $1, reads = $2 WHERE id = $3";
    FORGET_GRANTS_OF_USER = "DELETE FROM provider_grants WHERE user_id = $1 AND provider = COALESCE($2, provider)";
    FORGET_GRANTS_OF_SERVICE = "DELETE FROM provider_grants WHERE service_id = $1 AND provider = COALESCE($2, provider)";
    FORGET_GRANTS_OF_ORGANIZATION = "DELETE FROM provider_grants WHERE org_id = $1 AND provider = COALESCE($2, provider)";
}

/// Tokens on their way into the vault.
#[derive(Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// What the provider granted.
    pub scopes: Vec<String>,
    /// The access token, sealed.
    pub access_token_sealed: Vec<u8>,
    /// The refresh token, sealed, when the provider gave one.
    pub refresh_token_sealed: Option<Vec<u8>>,
    /// When the access token ends; none when it does not.
    pub access_expires_at: Option<Millis>,
    /// When it should be refreshed; none when it cannot be.
    pub refresh_due_at: Option<Millis>,
}

/// Without the ciphertexts.
impl std::fmt::Debug for NewGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewGrant").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// A grant as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderGrant {
    /// Row id.
    pub id: i64,
    /// Row id of the organization.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// Row id of the service.
    pub service_id: i64,
    /// The provider.
    pub provider: String,
    /// Who vouches for the account there.
    pub issuer: String,
    /// Which account there.
    pub subject: String,
    /// Which version of the organization's own client the tokens were given to; none: the platform's.
    pub credential_version: Option<String>,
    /// What is stored; another number after every change.
    pub generation: i64,
    /// Whether the provider said that the grant is over.
    pub is_over: bool,
    /// What the provider granted.
    pub scopes: Vec<String>,
    /// The access token, sealed.
    pub access_token_sealed: Vec<u8>,
    /// The refresh token, sealed.
    pub refresh_token_sealed: Option<Vec<u8>>,
    /// When the access token ends.
    pub access_expires_at: Option<Millis>,
    /// Refreshes that failed since the last one that did not.
    pub failures: i64,
}

/// Without the ciphertexts.
impl std::fmt::Debug for ProviderGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderGrant")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("generation", &self.generation)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl ProviderGrant {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            org_id: row.get(1)?,
            user_id: row.get(2)?,
            service_id: row.get(3)?,
            provider: row.get(4)?,
            issuer: row.get(5)?,
            subject: row.get(6)?,
            credential_version: row.get(7)?,
            generation: row.get(8)?,
            is_over: row.get(9)?,
            scopes: string_list("provider_grants", "scopes", &row.get::<String>(10)?)?,
            access_token_sealed: row.get(11)?,
            refresh_token_sealed: row.get(12)?,
            access_expires_at: row.get(13)?,
            failures: row.get(14)?,
        })
    }
}

/// The sealed key of an organization, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct OrganizationKey {
    /// Row id of the organization.
    pub org_id: i64,
}

impl ReadOp for OrganizationKey {
    type Output = Option<Vec<u8>>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(ORGANIZATION_KEY, values![self.org_id], |row| row.get(0))
    }
}

/// Gives an organization a key, unless it has one. Returns the one it has.
#[derive(Clone)]
pub struct EnsureOrganizationKey {
    /// Row id of the organization.
    pub org_id: i64,
    /// The key to be, sealed.
    pub key_sealed: Vec<u8>,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EnsureOrganizationKey {
    type Output = Vec<u8>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Vec<u8>, OpError<()>> {
        tx.execute(INSERT_ORGANIZATION_KEY, values![self.org_id, self.key_sealed.as_slice(), self.now])?;
        Ok(tx.one(ORGANIZATION_KEY, values![self.org_id], |row| row.get(0))?)
    }
}

/// What the user of a session granted its service at a provider.
#[derive(Debug, Clone)]
pub struct GrantOfSession {
    /// Row id of the session.
    pub session_id: i64,
    /// The provider.
    pub provider: String,
}

impl ReadOp for GrantOfSession {
    type Output = Option<ProviderGrant>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(GRANT_OF_SESSION, values![self.session_id, &self.provider], ProviderGrant::from_row)
    }
}

/// A grant as it is now, if its organization is active and its service is there.
#[derive(Debug, Clone, Copy)]
pub struct UsableGrant {
    /// Row id.
    pub id: i64,
}

impl ReadOp for UsableGrant {
    type Output = Option<ProviderGrant>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(USABLE_GRANT, values![self.id], ProviderGrant::from_row)
    }
}

/// Whose grant it is and through which client it came.
pub(crate) struct Grantee<'a> {
    pub(crate) org_id: i64,
    pub(crate) user_id: i64,
    pub(crate) service_id: i64,
    pub(crate) credential_version: Option<&'a str>,
}

/// Keeps what a sign-in brought. A refresh token that it did not bring stays, if it is the same account's and client's.
pub(crate) fn store(
    tx: &mut WriteTx<'_>,
    grantee: &Grantee<'_>,
    profile: &Profile,
    (grant, now): (&NewGrant, Millis),
) -> Result<(), StoreError> {
    put(tx, STORE_GRANT, grantee, (profile, grant), now)
}

/// Puts a grant into a table of grants, by a statement that takes them all in this order and a moment at the end.
pub(super) fn put(
    tx: &mut WriteTx<'_>,
    statement: &Statement,
    grantee: &Grantee<'_>,
    (profile, grant): (&Profile, &NewGrant),
    moment: Millis,
) -> Result<(), StoreError> {
    let scopes = json_list(&grant.scopes);
    let values = values![
        grantee.org_id,
        grantee.user_id,
        grantee.service_id,
        &profile.provider,
        &profile.issuer,
        &profile.subject,
        grantee.credential_version,
        &scopes,
        grant.access_token_sealed.as_slice(),
        grant.refresh_token_sealed.as_deref(),
        grant.access_expires_at,
        grant.refresh_due_at,
        moment,
    ];
    tx.execute(statement, values)?;
    Ok(())
}

/// Keeps what a user granted once more, for the service of a session.
#[derive(Debug, Clone)]
pub struct RenewGrant {
    /// The session that asked.
    pub session_public_id: String,
    /// Row id of its user.
    pub user_id: i64,
    /// The account at the provider, which must be the user's.
    pub profile: Profile,
    /// Through which version of the organization's own client; none: the platform's.
    pub credential_version: Option<String>,
    /// The tokens.
    pub grant: NewGrant,
    /// The present moment.
    pub now: Millis,
}

/// The session ended, the account is not the user's any more, or the client changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRefused;

impl WriteOp for RenewGrant {
    type Output = ();
    type Refused = GrantRefused;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<GrantRefused>> {
        let Profile { provider, issuer, subject, .. } = &self.profile;
        let values = values![&self.session_public_id, self.user_id, self.now, issuer, subject];
        let place =
            tx.optional(PLACE_OF_RENEWAL, values, |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
        let Some((org_id, service_id)) = place else { return Err(OpError::Refused(GrantRefused)) };
        let credential_version = self.credential_version.as_deref();
        if !oauth_credentials::is_current(tx, org_id, provider, credential_version)? {
            return Err(OpError::Refused(GrantRefused));
        }
        let grantee = Grantee { org_id, user_id: self.user_id, service_id, credential_version };
        store(tx, &grantee, &self.profile, (&self.grant, self.now))?;
        Ok(())
    }
}

/// Keeps what a refresh brought, unless something newer is there.
#[derive(Debug, Clone)]
pub struct StoreRefreshed {
    /// Row id of the grant.
    pub id: i64,
    /// What was refreshed.
    pub generation: i64,
    /// The tokens.
    pub grant: NewGrant,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for StoreRefreshed {
    /// Whether it was kept.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        let Self { grant, .. } = self;
        let values = values![
            grant.access_token_sealed.as_slice(),
            grant.refresh_token_sealed.as_deref(),
            grant.access_expires_at,
            grant.refresh_due_at,
            self.now,
            self.id,
            self.generation,
        ];
        Ok(tx.execute(STORE_REFRESHED, values)? > 0)
    }
}

/// The provider said that the grant is over: nothing but a sign-in brings it back.
#[derive(Debug, Clone, Copy)]
pub struct EndGrant {
    /// Row id of the grant.
    pub id: i64,
    /// What was refreshed.
    pub generation: i64,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EndGrant {
    /// Whether it was still the same.
    type Output = bool;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<bool, OpError<()>> {
        Ok(tx.execute(GRANT_IS_OVER, values![self.now, self.id, self.generation])? > 0)
    }
}

/// The receipt of a read: written before the token is handed out. The first read by a service, and then one entry for
/// the reads of each hour, stand in the organization's audit log.
#[derive(Debug, Clone)]
pub struct RecordTokenRead {
    /// The grant that is read.
    pub grant: ProviderGrant,
    /// The service that reads, by its public name.
    pub client_id: String,
    /// Who, from where, when.
    pub audit: AuditContext,
}

/// The grant changed or went away since it was looked at, or its organization is not active any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantChanged;

impl WriteOp for RecordTokenRead {
    type Output = ();
    type Refused = GrantChanged;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<GrantChanged>> {
        let ProviderGrant { id, org_id, generation, provider, .. } = &self.grant;
        let known = tx.optional(READS_OF_GRANT, values![*id, *generation], |row| {
            Ok((row.get::<Option<i64>>(0)?, row.get::<i64>(1)?, row.get::<String>(2)?))
        })?;
        let Some((last_hour, reads, user_public_id)) = known else {
            return Err(OpError::Refused(GrantChanged));
        };
        let hour = self.audit.now.div_euclid(AUDITED_SPAN);
        if last_hour == Some(hour) {
            tx.execute(COUNT_READ, values![hour, reads + 1, *id])?;
            return Ok(());
        }
        tx.execute(COUNT_READ, values![hour, 0, *id])?;
        let happened = Happened {
            org_id: *org_id,
            action: if last_hour.is_none() { "provider_token.first_read" } else { "provider_token.read" },
            target: ("user", &user_public_id),
            metadata: json!({ "provider": provider, "client_id": self.client_id, "reads_since_last_entry": reads }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}

/// Whose grants are to be forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// All of a user.
    User(i64),
    /// Those of a user at one provider.
    UserAt(i64, &'a str),
    /// What was granted to one service.
    Service(i64),
    /// What was granted to the services of an organization.
    Organization(i64),
}

impl<'a> Whose<'a> {
    /// The row id that tells, and the provider when it is only one.
    pub(super) fn selection(self) -> (i64, Option<&'a str>) {
        match self {
            Self::UserAt(id, provider) => (id, Some(provider)),
            Self::User(id) | Self::Service(id) | Self::Organization(id) => (id, None),
        }
    }
}

/// Forgets grants, and has their tokens revoked at the providers. Returns how many there were.
pub(crate) fn forget(tx: &mut WriteTx<'_>, whose: Whose<'_>, now: Millis) -> Result<usize, StoreError> {
    waiting_grants::forget_all(tx, whose)?;
    provider_revocations::enqueue(tx, whose, now)?;
    let forget: &Statement = match whose {
        Whose::User(_) | Whose::UserAt(..) => FORGET_GRANTS_OF_USER,
        Whose::Service(_) => FORGET_GRANTS_OF_SERVICE,
        Whose::Organization(_) => FORGET_GRANTS_OF_ORGANIZATION,
    };
    let (id, provider) = whose.selection();
    tx.execute(forget, values![id, provider])
}
