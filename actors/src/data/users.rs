//! Users and their identities: who signed in?

use serde_json::json;

use crate::clock::Millis;
use crate::engine::{Row, WriteTx};
use crate::error::StoreError;
use crate::{statements, values};

use super::PLATFORM_ORG_ID;
use super::events::{self, EventType};
use super::growth;
use super::organizations::{self, NewClaim};
use super::provider_grants::NewGrant;

statements! {
    IDENTITY = "SELECT id, user_id FROM identities WHERE org_id = $1 AND issuer = $2 AND subject = $3";
    TOUCH_IDENTITY = "UPDATE identities SET email = $1, email_verified = $2, last_login_at = $3 WHERE id = $4";
    USER_BY_EMAIL = "SELECT id FROM users WHERE org_id = $1 AND email = $2";
    PROVIDER_OF_USER = "SELECT provider FROM identities WHERE user_id = $1 ORDER BY id LIMIT 1";
    INSERT_USER = "INSERT INTO users (public_id, org_id, email, name, avatar_url, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id";
    INSERT_IDENTITY = "INSERT INTO identities (org_id, user_id, provider, issuer, subject, email, email_verified, \
        created_at, last_login_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    FILL_PROFILE = "UPDATE users SET email = COALESCE(email, $1), name = COALESCE(name, $2), \
        avatar_url = $3, updated_at = $4 WHERE id = $5";
    CLAIM_BOOTSTRAP = "INSERT INTO settings (name, value) VALUES ('platform_owner_bootstrapped', $1) \
        ON CONFLICT (name) DO NOTHING";
    MAKE_PLATFORM_OWNER = "UPDATE users SET is_platform_owner = TRUE, updated_at = $1 WHERE id = $2";
}

/// What is shown of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// UUID for the outside.
    pub public_id: String,
    /// Verified address.
    pub email: Option<String>,
    /// Name to show.
    pub name: Option<String>,
    /// Picture.
    pub avatar_url: Option<String>,
    /// When the account was made.
    pub created_at: Millis,
}

impl User {
    /// Reads five columns of a row, in the order of the fields, from the column `first` on.
    pub(crate) fn from_columns(row: &Row<'_, '_>, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            public_id: row.get(first)?,
            email: row.get(first + 1)?,
            name: row.get(first + 2)?,
            avatar_url: row.get(first + 3)?,
            created_at: row.get(first + 4)?,
        })
    }
}

/// What a provider said about the person who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `github`, `google`, `microsoft`, `oidc` or `dev`.
    pub provider: String,
    /// Who vouches.
    pub issuer: String,
    /// Whom it names.
    pub subject: String,
    /// The address, normalized.
    pub email: Option<String>,
    /// Whether the provider proved the address.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// A picture.
    pub avatar_url: Option<String>,
}

impl Profile {
    /// The address if it was proved; nothing else may ever stand in `users.email`.
    #[must_use]
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }
}

/// A person at the door: a profile, the realm, and what a new account would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The realm: an organization's row id.
    pub org_id: i64,
    /// What the provider said.
    pub profile: Profile,
    /// Through which version of the organization's own client at the provider; none for the platform's.
    pub credential_version: Option<String>,
    /// The provider's tokens, sealed, when the service wants to call it for the user.
    pub grant: Option<NewGrant>,
    /// UUID for a new user.
    pub new_user_public_id: String,
    /// `PLATFORM_OWNER_EMAIL`, normalized: its first verified sign-in to the platform realm becomes an owner.
    pub bootstrap_owner_email: Option<String>,
    /// For the organizations that wait for a verified sign-in of this person to the platform realm; else empty.
    pub claims: Vec<NewClaim>,
    /// The present moment.
    pub now: Millis,
}

/// The address belongs to another account of the realm. Never merged silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailInUse {
    /// The address.
    pub email: String,
    /// The provider that the other account signs in with.
    pub existing_provider: String,
}

/// Finds or makes the user behind an arrival. Keyed by (realm, issuer, subject), never by e-mail.
pub(crate) fn resolve(
    tx: &mut WriteTx<'_>,
    arrival: &Arrival,
) -> Result<Result<i64, EmailInUse>, StoreError> {
    let Profile { issuer, subject, .. } = &arrival.profile;
    let known = tx.optional(IDENTITY, values![arrival.org_id, issuer, subject], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    let user_id = match known {
        Some((identity_id, user_id)) => {
            welcome_back(tx, arrival, identity_id, user_id)?;
            user_id
        }
        None => match sign_up(tx, arrival)? {
            Ok(user_id) => user_id,
            Err(in_use) => return Ok(Err(in_use)),
        },
    };
    bootstrap_owner(tx, arrival, user_id)?;
    claim_organizations(tx, arrival, user_id)?;
    Ok(Ok(user_id))
}

fn welcome_back(
    tx: &mut WriteTx<'_>,
    arrival: &Arrival,
    identity_id: i64,
    user_id: i64,
) -> Result<(), StoreError> {
    let Arrival { profile, now, .. } = arrival;
    tx.execute(TOUCH_IDENTITY, values![&profile.email, profile.email_verified, *now, identity_id])?;
    // A proved address fills an empty place, unless another account of the realm has it. It never replaces one:
    // an address that a user has been known by changes only by that user's own request.
    let email = match profile.verified_email() {
        Some(email) => owner_of_email(tx, arrival.org_id, email)?.is_none().then_some(email),
        None => None,
    };
    tx.execute(FILL_PROFILE, values![email, &profile.name, &profile.avatar_url, *now, user_id])?;
    Ok(())
}

fn sign_up(tx: &mut WriteTx<'_>, arrival: &Arrival) -> Result<Result<i64, EmailInUse>, StoreError> {
    let Arrival { org_id, profile, now, new_user_public_id, .. } = arrival;
    if let Some(email) = profile.verified_email()
        && let Some(other) = owner_of_email(tx, *org_id, email)?
    {
        let existing_provider =
            tx.optional(PROVIDER_OF_USER, values![other], |row| row.get::<String>(0))?.unwrap_or_default();
        return Ok(Err(EmailInUse { email: email.to_owned(), existing_provider }));
    }
    let email = profile.verified_email();
    let user_id = tx.one(
        INSERT_USER,
        values![new_user_public_id, *org_id, email, &profile.name, &profile.avatar_url, *now],
        |row| row.get::<i64>(0),
    )?;
    growth::user_came(tx, *org_id, *now)?;
    tx.execute(
        INSERT_IDENTITY,
        values![
            *org_id,
            user_id,
            &profile.provider,
            &profile.issuer,
            &profile.subject,
            &profile.email,
            profile.email_verified,
            *now,
        ],
    )?;
    let data = json!({ "user_id": new_user_public_id, "provider": profile.provider });
    events::record(tx, *org_id, (EventType::UserCreated, &data), *now)?;
    Ok(Ok(user_id))
}

fn owner_of_email(tx: &mut WriteTx<'_>, org_id: i64, email: &str) -> Result<Option<i64>, StoreError> {
    tx.optional(USER_BY_EMAIL, values![org_id, email], |row| row.get::<i64>(0))
}

/// Once in the life of an installation: a demoted bootstrap owner stays demoted after a restart.
fn bootstrap_owner(tx: &mut WriteTx<'_>, arrival: &Arrival, user_id: i64) -> Result<(), StoreError> {
    let awaited = arrival.bootstrap_owner_email.as_deref();
    if arrival.org_id != PLATFORM_ORG_ID || awaited.is_none() || awaited != arrival.profile.verified_email() {
        return Ok(());
    }
    let now = arrival.now.to_string();
    if tx.execute(CLAIM_BOOTSTRAP, values![&now])? == 1 {
        tx.execute(MAKE_PLATFORM_OWNER, values![arrival.now, user_id])?;
    }
    Ok(())
}

/// Never for an end user: an organization's own provider must not speak for administrators.
fn claim_organizations(tx: &mut WriteTx<'_>, arrival: &Arrival, user_id: i64) -> Result<(), StoreError> {
    match arrival.profile.verified_email() {
        Some(email) if arrival.org_id == PLATFORM_ORG_ID => {
            organizations::claim(tx, user_id, email, &arrival.claims)
        }
        _ => Ok(()),
    }
}
