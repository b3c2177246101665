//! Tokens of a sign-in that is not complete: the person has been asked and has not answered. They are not in the vault
//! yet, so nobody can use them and nothing refreshes them.

use super::provider_grants::{self, Grantee, NewGrant, Whose};
use super::string_list;
use super::users::Profile;
use crate::clock::Millis;
use crate::engine::{Statement, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

/// No question can be answered after this long: 15 minutes.
const LIFETIME: Millis = 15 * 60 * 1000;

statements! {
    INSERT_WAITING = "INSERT INTO waiting_grants (org_id, user_id, service_id, provider, issuer, subject, \
        credential_version, scopes, access_token_sealed, refresh_token_sealed, access_expires_at, refresh_due_at, \
        expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    WAITING = "SELECT provider, issuer, subject, credential_version, scopes, access_token_sealed, \
        refresh_token_sealed, access_expires_at, refresh_due_at FROM waiting_grants WHERE user_id = $1 \
        AND service_id = $2 AND expires_at > $3 LIMIT 16";
    FORGET_WAITING = "DELETE FROM waiting_grants WHERE user_id = $1 AND service_id = $2";
    FORGET_WAITING_OF_USER = "DELETE FROM waiting_grants WHERE user_id = $1 AND provider = COALESCE($2, provider)";
    FORGET_WAITING_OF_SERVICE = "DELETE FROM waiting_grants WHERE service_id = $1 AND provider = COALESCE($2, provider)";
    FORGET_WAITING_OF_ORGANIZATION = "DELETE FROM waiting_grants WHERE org_id = $1 AND provider = COALESCE($2, provider)";
}

/// Has tokens wait for the person's answer, in the place of any that wait already.
pub(crate) fn wait(
    tx: &mut WriteTx<'_>,
    grantee: &Grantee<'_>,
    profile: &Profile,
    (grant, now): (&NewGrant, Millis),
) -> Result<(), StoreError> {
    tx.execute(FORGET_WAITING, values![grantee.user_id, grantee.service_id])?;
    provider_grants::put(tx, INSERT_WAITING, grantee, (profile, grant), now + LIFETIME)
}

/// The person said yes: what waits goes into the vault.
pub(crate) fn keep(
    tx: &mut WriteTx<'_>,
    (org_id, user_id, service_id): (i64, i64, i64),
    now: Millis,
) -> Result<(), StoreError> {
    let waiting = tx.all(WAITING, values![user_id, service_id, now], |row| {
        let profile = Profile {
            provider: row.get(0)?,
            issuer: row.get(1)?,
            subject: row.get(2)?,
            email: None,
            email_verified: false,
            name: None,
            avatar_url: None,
        };
        let grant = NewGrant {
            scopes: string_list("waiting_grants", "scopes", &row.get::<String>(4)?)?,
            access_token_sealed: row.get(5)?,
            refresh_token_sealed: row.get(6)?,
            access_expires_at: row.get(7)?,
            refresh_due_at: row.get(8)?,
        };
        Ok((profile, row.get::<Option<String>>(3)?, grant))
    })?;
    for (profile, credential_version, grant) in &waiting {
        let credential_version = credential_version.as_deref();
        let grantee = Grantee { org_id, user_id, service_id, credential_version };
        provider_grants::store(tx, &grantee, profile, (grant, now))?;
    }
    forget(tx, user_id, service_id)
}

/// The person said no.
pub(crate) fn forget(tx: &mut WriteTx<'_>, user_id: i64, service_id: i64) -> Result<(), StoreError> {
    tx.execute(FORGET_WAITING, values![user_id, service_id])?;
    Ok(())
}

/// Goes with the grants of whoever loses them.
pub(crate) fn forget_all(tx: &mut WriteTx<'_>, whose: Whose<'_>) -> Result<(), StoreError> {
    let forget: &Statement = match whose {
        Whose::User(_) | Whose::UserAt(..) => FORGET_WAITING_OF_USER,
        Whose::Service(_) => FORGET_WAITING_OF_SERVICE,
        Whose::Organization(_) => FORGET_WAITING_OF_ORGANIZATION,
    };
    let (id, provider) = whose.selection();
    tx.execute(forget, values![id, provider])?;
    Ok(())
}

/// A person denies what a service asks for: the tokens that wait for the answer are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct DenyConsent {
    /// Row id of the user.
    pub user_id: i64,
    /// Row id of the service.
    pub service_id: i64,
}

impl WriteOp for DenyConsent {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        Ok(forget(tx, self.user_id, self.service_id)?)
    }
}
