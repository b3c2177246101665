//! Sessions: what a sign-in makes, everything that its tokens say, what ends it.

use super::client_registration::SigningAlgorithm;
use super::ended_sessions;
use super::entitlements::{PlanGrant, SubscriptionGrant};
use super::login_events::{self, Login, SeenFrom};
use super::refresh_tokens::{self, REFRESH_LIFETIME};
use super::token_binding::TokenBinding;
use super::{json_list, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// A session ends this long after it began, however often it is refreshed: 180 days.
pub const SESSION_LIFETIME: Millis = 180 * 24 * 60 * 60 * 1000;

/// The columns of [`Subject`], for every statement that reads one.
macro_rules! select_subject {
    () => {
        "SELECT x.id, x.public_id, x.scope, x.authenticated_at, x.expires_at, x.ended_at, x.provider, u.public_id, \
         u.email, u.name, u.avatar_url, u.is_platform_owner, u.created_at, o.slug, o.status, o.is_platform, s.slug, \
         s.client_id, p.name, p.features, x.user_id, x.org_id, x.service_id, b.status, b.current_period_end, \
         b.grants_until, b.quantity, b.version, bp.name, bp.features, s.public_id, \
         u.erased_at IS NOT NULL OR s.deleted_at IS NOT NULL, x.amr, s.id_token_signed_response_alg \
         FROM sessions x JOIN users u ON u.id = x.user_id JOIN organizations o ON o.id = x.org_id \
         JOIN services s ON s.id = x.service_id LEFT JOIN plans p ON p.service_id = s.id AND p.is_default \
         LEFT JOIN subscriptions b ON b.user_id = x.user_id AND b.service_id = x.service_id \
         LEFT JOIN plans bp ON bp.id = b.plan_id"
    };
}
pub(crate) use select_subject;

statements! {
    // A code that was handed out before the user's sessions were revoked opens a session that is over already.
    INSERT_SESSION = "INSERT INTO sessions (public_id, org_id, service_id, user_id, provider, method, scope, \
        authenticated_at, created_at, expires_at, ended_at, ended_reason, user_agent, ip_address, amr) \
        SELECT $1, $2, $3, u.id, $4, $5, $6, $7, $8, $9, \
        CASE WHEN u.signed_out_at >= $7 THEN $8 END, CASE WHEN u.signed_out_at >= $7 THEN 'revoked' END, $10, $11, $12 \
        FROM users u WHERE u.id = $13 RETURNING id";
    END_SESSION = "UPDATE sessions SET ended_at = $1, ended_reason = $2 WHERE id = $3 AND ended_at IS NULL";
    END_SESSIONS_OF_SERVICE = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE service_id = $3 AND ended_at IS NULL";
    END_SESSION_BY_PUBLIC_ID = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE public_id = $3 AND ended_at IS NULL";
    SUBJECT_BY_SESSION = concat!(select_subject!(), " WHERE x.id = $1");
    SUBJECT_BY_PUBLIC_ID = concat!(select_subject!(), " WHERE x.public_id = $1");
}

/// Everything a token says, as it is now. Rights come from here, never from an old token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Row id of the session.
    pub session_id: i64,
    /// Row id of the user.
    pub user_id: i64,
    /// Row id of the organization that is the user's realm.
    pub org_id: i64,
    /// The `sid` claim.
    pub session_public_id: String,
    /// Granted scope, space-separated.
    pub scope: String,
    /// The `auth_time` claim.
    pub authenticated_at: Millis,
    /// When the session ends by itself.
    pub expires_at: Millis,
    /// When it was ended, if it was.
    pub ended_at: Option<Millis>,
    /// The provider that the user signed in with.
    pub provider: String,
    /// The `sub` claim.
    pub user_public_id: String,
    /// Verified address.
    pub email: Option<String>,
    /// Name to show.
    pub name: Option<String>,
    /// Picture.
    pub avatar_url: Option<String>,
    /// Whether the user owns the platform.
    pub is_platform_owner: bool,
    /// When the account was made.
    pub user_created_at: Millis,
    /// The organization's slug.
    pub org_slug: String,
    /// The organization's status.
    pub org_status: String,
    /// Whether the session belongs to the platform realm.
    pub is_platform: bool,
    /// The service's slug.
    pub service_slug: String,
    /// The `client_id` claim.
    pub client_id: String,
    /// Row id of the service.
    pub service_id: i64,
    /// UUID of the service.
    pub service_public_id: String,
    /// The service's default plan; none in the platform realm. What the user has is [`Subject::entitlement`].
    pub default_plan: Option<PlanGrant>,
    /// What the user subscribed to, whether or not it grants anything now.
    pub subscription: Option<SubscriptionGrant>,
    /// How the service wants its `id_token`s signed.
    pub id_token_alg: SigningAlgorithm,
    /// Whether the user was erased or the service deleted. Both end the session as well; this is the second lock.
    pub is_orphan: bool,
    /// How the provider knew the person (RFC 8176), when it said so: the `amr` claim.
    pub amr: Vec<String>,
}

impl Subject {
    /// Whether the session neither ended nor expired at `now`.
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        self.ended_at.is_none() && now < self.expires_at && !self.is_orphan
    }

    /// Whether the organization lets its users in.
    #[must_use]
    pub fn is_org_active(&self) -> bool {
        self.org_status == "active"
    }

    pub(super) fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        let id_token_alg: String = row.get(33)?;
        Ok(Self {
            session_id: row.get(0)?,
            user_id: row.get(20)?,
            org_id: row.get(21)?,
            session_public_id: row.get(1)?,
            scope: row.get(2)?,
            authenticated_at: row.get(3)?,
            expires_at: row.get(4)?,
            ended_at: row.get(5)?,
            provider: row.get(6)?,
            user_public_id: row.get(7)?,
            email: row.get(8)?,
            name: row.get(9)?,
            avatar_url: row.get(10)?,
            is_platform_owner: row.get(11)?,
            user_created_at: row.get(12)?,
            org_slug: row.get(13)?,
            org_status: row.get(14)?,
            is_platform: row.get(15)?,
            service_slug: row.get(16)?,
            client_id: row.get(17)?,
            service_id: row.get(22)?,
            service_public_id: row.get(30)?,
            default_plan: PlanGrant::from_columns(row.get(18)?, row.get(19)?)?,
            subscription: SubscriptionGrant::from_columns(row, 23)?,
            id_token_alg: SigningAlgorithm::parse(&id_token_alg).unwrap_or_default(),
            is_orphan: row.get(31)?,
            amr: string_list("sessions", "amr", &row.get::<String>(32)?)?,
        })
    }
}

/// What opening a session needs that is not in the database yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// UUID for the `sid` claim.
    pub public_id: String,
    /// SHA-256 of the first refresh token's secret.
    pub refresh_hash: [u8; 32],
    /// What its tokens are to be bound to.
    pub binding: TokenBinding,
}

/// A session with the refresh token that belongs in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What the access token says.
    pub subject: Subject,
    /// Row id of the refresh token; its secret is known to the caller alone.
    pub refresh_token_id: i64,
    /// What its tokens are bound to.
    pub binding: TokenBinding,
}

/// Who signed in to what, and how.
pub(crate) struct SignedIn<'a> {
    pub(crate) org_id: i64,
    pub(crate) service_id: i64,
    pub(crate) user_id: i64,
    pub(crate) provider: &'a str,
    pub(crate) method: &'static str,
    pub(crate) scope: &'a str,
    pub(crate) authenticated_at: Millis,
    /// From where, for the login event.
    pub(crate) seen_from: &'a SeenFrom,
    /// How the provider knew the person (RFC 8176), when it said so.
    pub(crate) amr: &'a [String],
}

impl SignedIn<'_> {
    /// The sign-in as its event tells of it.
    pub(crate) fn login<'s>(&'s self, public_id: &'s str, now: Millis) -> Login<'s> {
        Login {
            public_id,
            org_id: self.org_id,
            service_id: self.service_id,
            provider: self.provider,
            method: self.method,
            seen_from: self.seen_from,
            now,
        }
    }
}

/// Opens a session with its first refresh token, and records the sign-in.
pub(crate) fn open(
    tx: &mut WriteTx<'_>,
    new: &NewSession,
    signed_in: &SignedIn<'_>,
    now: Millis,
) -> Result<Grant, StoreError> {
    let amr = json_list(signed_in.amr);
    let values = values![
        &new.public_id,
        signed_in.org_id,
        signed_in.service_id,
        signed_in.provider,
        signed_in.method,
        signed_in.scope,
        signed_in.authenticated_at,
        now,
        now + SESSION_LIFETIME,
        &signed_in.seen_from.user_agent,
        &signed_in.seen_from.ip_address,
        &amr,
        signed_in.user_id,
    ];
    let session_id = tx.one(INSERT_SESSION, values, |row| row.get::<i64>(0))?;
    let refresh_token_id =
        refresh_tokens::issue(tx, session_id, &new.refresh_hash, (now, now + REFRESH_LIFETIME))?;
    new.binding.bind_session(tx, session_id)?;
    let subject = subject(tx, session_id)?;
    let login = signed_in.login(&new.public_id, now);
    if subject.ended_at.is_none() {
        login_events::succeeded(tx, &login, signed_in.user_id)?;
        ended_sessions::record_created(tx, &subject, signed_in.method, now)?;
    } else {
        login_events::failed(tx, &login, Some(signed_in.user_id), "signed_out")?;
    }
    Ok(Grant { subject, refresh_token_id, binding: new.binding.clone() })
}

/// Everything about a session that is there, as it is now.
pub(super) fn subject(tx: &mut ReadTx<'_>, session_id: i64) -> Result<Subject, StoreError> {
    tx.one(SUBJECT_BY_SESSION, values![session_id], Subject::from_row)
}

/// Ends a session; ending an ended one changes nothing.
pub(crate) fn end(
    tx: &mut WriteTx<'_>,
    session_id: i64,
    reason: &'static str,
    now: Millis,
) -> Result<(), StoreError> {
    tx.execute(END_SESSION, values![now, reason, session_id])?;
    Ok(())
}

/// Ends every session of a service. Returns how many.
pub(crate) fn end_all_of_service(
    tx: &mut WriteTx<'_>,
    service_id: i64,
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    tx.execute(END_SESSIONS_OF_SERVICE, values![now, reason, service_id])
}

/// The session behind a token, ended or not.
#[derive(Debug, Clone)]
pub struct SessionByPublicId {
    /// The `sid` claim.
    pub public_id: String,
}

impl ReadOp for SessionByPublicId {
    type Output = Option<Subject>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        tx.optional(SUBJECT_BY_PUBLIC_ID, values![&self.public_id], Subject::from_row)
    }
}

/// Ends a session. Ending an ended one, or one that never was, changes nothing and is no error.
#[derive(Debug, Clone)]
pub struct EndSession {
    /// The `sid` claim.
    pub public_id: String,
    /// Why, for the audit: `logout`, ...
    pub reason: &'static str,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for EndSession {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(END_SESSION_BY_PUBLIC_ID, values![self.now, self.reason, &self.public_id])?;
        Ok(())
    }
}
