//! A user's accounts at providers: listed, linked, unlinked.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use super::oauth_credentials;
use super::provider_grants::{self, Whose};
use super::users::Profile;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    IDENTITIES_OF_USER = "SELECT provider, issuer, email, created_at FROM identities WHERE user_id = $1 \
        ORDER BY id LIMIT 50";
    OWNER_OF_IDENTITY = "SELECT user_id FROM identities WHERE org_id = $1 AND issuer = $2 AND subject = $3";
    LIVE_SESSION_OF_USER = "SELECT u.public_id FROM sessions x JOIN users u ON u.id = x.user_id \
        WHERE x.public_id = $1 AND x.org_id = $2 AND x.user_id = $3 AND x.ended_at IS NULL AND x.expires_at > $4";
    HAS_IDENTITY_AT = "SELECT 1 FROM identities WHERE user_id = $1 AND provider = $2 AND issuer = $3 LIMIT 1";
    LINK_IDENTITY = "INSERT INTO identities (org_id, user_id, provider, issuer, subject, email, email_verified, \
        created_at, last_login_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    COUNT_IDENTITIES = "SELECT COUNT(*), COUNT(*) FILTER (WHERE provider = $1) FROM identities WHERE user_id = $2";
    UNLINK_IDENTITIES = "DELETE FROM identities WHERE user_id = $1 AND provider = $2";
}

/// An account at a provider, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The provider.
    pub provider: String,
    /// Who vouches.
    pub issuer: String,
    /// The address that the provider told, proved or not.
    pub email: Option<String>,
    /// When it was linked, or the account made with it.
    pub created_at: Millis,
}

/// The accounts at providers that sign this user in, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct IdentitiesOf {
    /// Row id of the user.
    pub user_id: i64,
}

impl ReadOp for IdentitiesOf {
    type Output = Vec<LinkedIdentity>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.all(IDENTITIES_OF_USER, values![self.user_id], |row| {
            Ok(LinkedIdentity {
                provider: row.get(0)?,
                issuer: row.get(1)?,
                email: row.get(2)?,
                created_at: row.get(3)?,
            })
        })
    }
}

/// Which user of the realm does this account at a provider sign in?
#[derive(Debug, Clone)]
pub struct OwnerOfIdentity {
    /// The realm.
    pub org_id: i64,
    /// Who vouches.
    pub issuer: String,
    /// Whom it names.
    pub subject: String,
}

impl ReadOp for OwnerOfIdentity {
    /// Row id of the user.
    type Output = Option<i64>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(OWNER_OF_IDENTITY, values![self.org_id, &self.issuer, &self.subject], |row| row.get(0))
    }
}

/// Lets one more account at a provider sign a user in.
#[derive(Debug, Clone)]
pub struct LinkIdentity {
    /// The realm.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// The session that asked for it, which must still live.
    pub session_public_id: String,
    /// What the provider said.
    pub profile: Profile,
    /// Through which version of the organization's own client at the provider; none for the platform's.
    pub credential_version: Option<String>,
    /// From where, when. The user is the actor.
    pub audit: AuditContext,
}

/// Why nothing was linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefusal {
    /// The session that asked has ended.
    SessionEnded,
    /// The client at the provider is not the one that was used.
    CredentialChanged,
    /// The account at the provider signs another user of the realm in.
    BelongsToAnother,
    /// The user has another account at this very provider.
    OneThereAlready,
}

impl WriteOp for LinkIdentity {
    type Output = ();
    type Refused = LinkRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<LinkRefusal>> {
        let Self { org_id, user_id, profile, audit, .. } = self;
        let values = values![&self.session_public_id, *org_id, *user_id, audit.now];
        let user = tx.optional(LIVE_SESSION_OF_USER, values, |row| row.get::<String>(0))?;
        let Some(user_public_id) = user else { return Err(OpError::Refused(LinkRefusal::SessionEnded)) };
        let version = self.credential_version.as_deref();
        if !oauth_credentials::is_current(tx, *org_id, &profile.provider, version)? {
            return Err(OpError::Refused(LinkRefusal::CredentialChanged));
        }
        let owner =
            tx.optional(OWNER_OF_IDENTITY, values![*org_id, &profile.issuer, &profile.subject], |row| {
                row.get::<i64>(0)
            })?;
        match owner {
            Some(owner) if owner == *user_id => return Ok(()),
            Some(_) => return Err(OpError::Refused(LinkRefusal::BelongsToAnother)),
            None => {}
        }
        let values = values![*user_id, &profile.provider, &profile.issuer];
        if tx.optional(HAS_IDENTITY_AT, values, |row| row.get::<i64>(0))?.is_some() {
            return Err(OpError::Refused(LinkRefusal::OneThereAlready));
        }
        let values = values![
            *org_id,
            *user_id,
            &profile.provider,
            &profile.issuer,
            &profile.subject,
            &profile.email,
            profile.email_verified,
            audit.now,
        ];
        tx.execute(LINK_IDENTITY, values)?;
        let happened = Happened {
            org_id: *org_id,
            action: "identity.linked",
            target: ("user", &user_public_id),
            metadata: json!({ "provider": profile.provider, "issuer": profile.issuer }),
        };
        append(tx, audit, &happened)?;
        Ok(())
    }
}

/// Takes a provider's accounts from a user.
#[derive(Debug, Clone)]
pub struct UnlinkIdentity {
    /// The realm.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// Public id of the user.
    pub user_public_id: String,
    /// The provider.
    pub provider: String,
    /// From where, when. The user is the actor.
    pub audit: AuditContext,
}

/// Why nothing was unlinked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlinkRefusal {
    /// The user has no account there.
    Unknown,
    /// Nobody could sign in to the user's account any more.
    LastOne,
}

impl WriteOp for UnlinkIdentity {
    type Output = ();
    type Refused = UnlinkRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<UnlinkRefusal>> {
        let (all, there) = tx.one(COUNT_IDENTITIES, values![&self.provider, self.user_id], |row| {
            Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
        })?;
        match there {
            0 => return Err(OpError::Refused(UnlinkRefusal::Unknown)),
            there if there == all => return Err(OpError::Refused(UnlinkRefusal::LastOne)),
            _ => {}
        }
        tx.execute(UNLINK_IDENTITIES, values![self.user_id, &self.provider])?;
        provider_grants::forget(tx, Whose::UserAt(self.user_id, &self.provider), self.audit.now)?;
        let happened = Happened {
            org_id: self.org_id,
            action: "identity.unlinked",
            target: ("user", &self.user_public_id),
            metadata: json!({ "provider": self.provider }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(())
    }
}
