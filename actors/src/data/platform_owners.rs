//! Platform owners: there is always one, and none removes themselves.

use serde_json::json;

use super::PLATFORM_ORG_ID;
use super::audit::{self, AuditContext, Happened};
use super::users::User;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    IS_PLATFORM_OWNER = "SELECT 1 FROM users WHERE id = $1 AND org_id = $2 AND is_platform_owner";
    PLATFORM_USER_BY_PUBLIC_ID = "SELECT public_id, email, name, avatar_url, created_at, id, is_platform_owner \
        FROM users WHERE public_id = $1 AND org_id = $2 AND erased_at IS NULL";
    PLATFORM_USER_BY_EMAIL = "SELECT public_id, email, name, avatar_url, created_at, id, is_platform_owner \
        FROM users WHERE email = $1 AND org_id = $2 AND erased_at IS NULL";
    SET_PLATFORM_OWNER = "UPDATE users SET is_platform_owner = $1, updated_at = $2 WHERE id = $3";
    OTHER_PLATFORM_OWNER = "SELECT 1 FROM users WHERE org_id = $1 AND is_platform_owner AND id <> $2 LIMIT 1";
}

/// Whether the user owns the platform at this moment. Part of the caller's transaction.
pub(crate) fn is_platform_owner(tx: &mut ReadTx<'_>, user_id: i64) -> Result<bool, StoreError> {
    Ok(tx.optional(IS_PLATFORM_OWNER, values![user_id, PLATFORM_ORG_ID], |_| Ok(()))?.is_some())
}

/// How a user of the platform realm is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformUser {
    /// By public id.
    PublicId(String),
    /// By verified address, normalized.
    Email(String),
}

struct Found {
    id: i64,
    user: User,
    is_owner: bool,
}

impl PlatformUser {
    fn find(&self, tx: &mut ReadTx<'_>) -> Result<Option<Found>, StoreError> {
        let (statement, name) = match self {
            Self::PublicId(public_id) => (PLATFORM_USER_BY_PUBLIC_ID, public_id),
            Self::Email(email) => (PLATFORM_USER_BY_EMAIL, email),
        };
        tx.optional(statement, values![name, PLATFORM_ORG_ID], |row| {
            Ok(Found { user: User::from_columns(row, 0)?, id: row.get(5)?, is_owner: row.get(6)? })
        })
    }
}

/// Makes a user of the platform realm a platform owner.
#[derive(Debug, Clone)]
pub struct AppointPlatformOwner {
    /// Whom.
    pub user: PlatformUser,
    /// Row id of the platform owner who does it.
    pub appointed_by: i64,
    /// Who, from where.
    pub audit: AuditContext,
}

/// A platform owner, and whether they just became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointed {
    /// The user.
    pub user: User,
    /// False for somebody who was one already.
    pub is_new: bool,
}

/// Why the owners stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerRefusal {
    /// Whoever acts is no platform owner any more.
    NoPlatformOwner,
    /// The platform realm has no such user, or no such owner.
    NoSuchUser,
    /// Nobody demotes themselves.
    Oneself,
    /// It is the last one.
    LastOwner,
}

impl WriteOp for AppointPlatformOwner {
    type Output = Appointed;
    type Refused = OwnerRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Appointed, OpError<OwnerRefusal>> {
        if !is_platform_owner(tx, self.appointed_by)? {
            return Err(OpError::Refused(OwnerRefusal::NoPlatformOwner));
        }
        let Some(Found { id, user, is_owner }) = self.user.find(tx)? else {
            return Err(OpError::Refused(OwnerRefusal::NoSuchUser));
        };
        if !is_owner {
            set_owner(tx, (id, &user.public_id), true, &self.audit)?;
        }
        Ok(Appointed { user, is_new: !is_owner })
    }
}

/// Takes the platform from one of its owners.
#[derive(Debug, Clone)]
pub struct DemotePlatformOwner {
    /// Public id of the owner.
    pub user_public_id: String,
    /// Row id of the platform owner who does it.
    pub demoted_by: i64,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for DemotePlatformOwner {
    type Output = ();
    type Refused = OwnerRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<OwnerRefusal>> {
        let refused = |refusal| Err(OpError::Refused(refusal));
        // Two owners who demote each other at the same time: the second one is an owner no more.
        if !is_platform_owner(tx, self.demoted_by)? {
            return refused(OwnerRefusal::NoPlatformOwner);
        }
        let found = PlatformUser::PublicId(self.user_public_id.clone()).find(tx)?;
        let Some(Found { id, user, .. }) = found.filter(|found| found.is_owner) else {
            return refused(OwnerRefusal::NoSuchUser);
        };
        if id == self.demoted_by {
            return refused(OwnerRefusal::Oneself);
        }
        // Follows from the two checks before; kept, so that it holds whatever becomes of them.
        if tx.optional(OTHER_PLATFORM_OWNER, values![PLATFORM_ORG_ID, id], |_| Ok(()))?.is_none() {
            return refused(OwnerRefusal::LastOwner);
        }
        Ok(set_owner(tx, (id, &user.public_id), false, &self.audit)?)
    }
}

fn set_owner(
    tx: &mut WriteTx<'_>,
    (id, public_id): (i64, &str),
    is_owner: bool,
    context: &AuditContext,
) -> Result<(), StoreError> {
    tx.execute(SET_PLATFORM_OWNER, values![is_owner, context.now, id])?;
    let happened = Happened {
        org_id: PLATFORM_ORG_ID,
        action: if is_owner { "platform_owner.appointed" } else { "platform_owner.demoted" },
        target: ("user", public_id),
        metadata: json!({
            "before": { "is_platform_owner": !is_owner },
            "after": { "is_platform_owner": is_owner },
        }),
    };
    audit::append(tx, context, &happened)
}
