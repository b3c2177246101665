//! A user changes what is shown of them.

use serde_json::json;

use super::audit::{AuditContext, Happened, append};
use crate::engine::WriteTx;
use crate::error::OpError;
use crate::message::WriteOp;
use crate::{statements, values};

statements! {
    PROFILE = "SELECT name, email FROM users WHERE id = $1";
    PROVES_EMAIL = "SELECT 1 FROM identities WHERE user_id = $1 AND email = $2 AND email_verified LIMIT 1";
    EMAIL_OF_ANOTHER = "SELECT 1 FROM users WHERE org_id = $1 AND email = $2 AND id <> $3";
    CHANGE_PROFILE = "UPDATE users SET name = $1, email = $2, updated_at = $3 WHERE id = $4";
}

/// Changes a user's name or address. What is not named stays.
#[derive(Debug, Clone)]
pub struct ChangeProfile {
    /// The realm.
    pub org_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// Public id of the user.
    pub user_public_id: String,
    /// The new name; `Some(None)` takes it away.
    pub name: Option<Option<String>>,
    /// The new address, normalized.
    pub email: Option<String>,
    /// From where, when. The user is the actor.
    pub audit: AuditContext,
}

/// What is shown of the user now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnProfile {
    /// The name.
    pub name: Option<String>,
    /// The address.
    pub email: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileRefusal {
    /// None of the user's accounts at providers proves the address.
    Unproven,
    /// Another user of the realm is known by the address.
    InUse,
}

impl WriteOp for ChangeProfile {
    type Output = OwnProfile;
    type Refused = ProfileRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<OwnProfile, OpError<ProfileRefusal>> {
        let read =
            |row: &crate::engine::Row<'_, '_>| Ok(OwnProfile { name: row.get(0)?, email: row.get(1)? });
        let old = tx.one(PROFILE, values![self.user_id], read)?;
        let new = OwnProfile {
            name: self.name.clone().unwrap_or_else(|| old.name.clone()),
            email: self.email.clone().or_else(|| old.email.clone()),
        };
        let mut changed = Vec::new();
        if new.name != old.name {
            changed.push("name");
        }
        if new.email != old.email {
            self.may_take(tx, new.email.as_deref())?;
            changed.push("email");
        }
        if changed.is_empty() {
            return Ok(new);
        }
        tx.execute(CHANGE_PROFILE, values![&new.name, &new.email, self.audit.now, self.user_id])?;
        // Which, not what: the log outlives the erasure of the user.
        let happened = Happened {
            org_id: self.org_id,
            action: "user.updated",
            target: ("user", &self.user_public_id),
            metadata: json!({ "changed": changed }),
        };
        append(tx, &self.audit, &happened)?;
        Ok(new)
    }
}

impl ChangeProfile {
    fn may_take(&self, tx: &mut WriteTx<'_>, email: Option<&str>) -> Result<(), OpError<ProfileRefusal>> {
        if tx.optional(PROVES_EMAIL, values![self.user_id, email], |row| row.get::<i64>(0))?.is_none() {
            return Err(OpError::Refused(ProfileRefusal::Unproven));
        }
        let values = values![self.org_id, email, self.user_id];
        if tx.optional(EMAIL_OF_ANOTHER, values, |row| row.get::<i64>(0))?.is_some() {
            return Err(OpError::Refused(ProfileRefusal::InUse));
        }
        Ok(())
    }
}
