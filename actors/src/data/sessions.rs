//! Sessions and refresh tokens: what a sign-in makes, what keeps it alive, what ends it.

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use super::client_registration::SigningAlgorithm;
use super::ended_sessions;
use super::entitlements::{PlanGrant, SubscriptionGrant};
use super::login_events::{self, Login, SeenFrom};
use super::token_binding::TokenBinding;
use super::{json_list, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// A session ends this long after it began, however often it is refreshed: 180 days.
pub const SESSION_LIFETIME: Millis = 180 * 24 * 60 * 60 * 1000;
/// A refresh token that is not used for this long is dead: 30 days.
pub const REFRESH_LIFETIME: Millis = 30 * 24 * 60 * 60 * 1000;
/// Within this time after its use a refresh token may be used again and yields the same successor: 10 seconds.
pub const REFRESH_GRACE: Millis = 10 * 1000;

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
    INSERT_REFRESH_TOKEN = "INSERT INTO refresh_tokens (session_id, secret_hash, created_at, expires_at) \
        VALUES ($1, $2, $3, $4) RETURNING id";
    END_SESSION = "UPDATE sessions SET ended_at = $1, ended_reason = $2 WHERE id = $3 AND ended_at IS NULL";
    END_SESSIONS_OF_SERVICE = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE service_id = $3 AND ended_at IS NULL";
    END_SESSION_BY_PUBLIC_ID = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE public_id = $3 AND ended_at IS NULL";
    SUBJECT_BY_SESSION = concat!(select_subject!(), " WHERE x.id = $1");
    SUBJECT_BY_PUBLIC_ID = concat!(select_subject!(), " WHERE x.public_id = $1");
    REFRESH_TOKEN = "SELECT session_id, secret_hash, expires_at, used_at, successor_id \
        FROM refresh_tokens WHERE id = $1";
    CLIENT_OF_SESSION = "SELECT COALESCE(s.token_endpoint_auth_method <> 'none', EXISTS (SELECT 1 \
        FROM client_secrets c WHERE c.service_id = s.id AND c.expires_at IS NULL)), s.dpop_bound_access_tokens \
        FROM sessions x JOIN services s ON s.id = x.service_id WHERE x.id = $1";
    SUCCESSOR_UNUSED = "SELECT 1 FROM refresh_tokens WHERE id = $1 AND used_at IS NULL";
    USE_REFRESH_TOKEN = "UPDATE refresh_tokens SET used_at = $1, successor_id = $2 WHERE id = $3";
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
    let refresh_token_id = tx.one(
        INSERT_REFRESH_TOKEN,
        values![session_id, &new.refresh_hash, now, now + REFRESH_LIFETIME],
        |row| row.get::<i64>(0),
    )?;
    new.binding.bind_session(tx, session_id)?;
    let subject = tx.one(SUBJECT_BY_SESSION, values![session_id], Subject::from_row)?;
    let login = signed_in.login(&new.public_id, now);
    if subject.ended_at.is_none() {
        login_events::succeeded(tx, &login, signed_in.user_id)?;
        ended_sessions::record_created(tx, &subject, signed_in.method, now)?;
    } else {
        login_events::failed(tx, &login, Some(signed_in.user_id), "signed_out")?;
    }
    Ok(Grant { subject, refresh_token_id, binding: new.binding.clone() })
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

/// Uses a refresh token (RFC 6749, section 6) and issues its successor (RFC 9700, section 4.14.2).
#[derive(Debug, Clone)]
pub struct RotateRefreshToken {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// SHA-256 of the successor's secret, which follows from the one presented.
    pub successor_hash: [u8; 32],
    /// The client that presents it, where the endpoint knows it; authenticated when it is confidential.
    pub client_id: Option<String>,
    /// The key that the client proved to hold (RFC 9449) and what the access token is to be for (RFC 8707).
    pub asked: TokenBinding,
    /// The scope asked for, when it is named: within what was granted (RFC 6749, section 6).
    pub requested_scope: Option<String>,
    /// The present moment.
    pub now: Millis,
    /// From where, for the entry that a reuse leaves in the audit log.
    pub audit: AuditContext,
}

/// What the use of a refresh token led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// A fresh successor, or within the grace the same one again.
    Granted(Box<Grant>),
    /// The token was used before: somebody else has it. The session is over.
    Reused,
}

/// Why a refresh token was refused without any change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// No such token, or the secret is wrong.
    Unknown,
    /// It belongs to another client.
    OtherClient,
    /// It belongs to a confidential client, and none authenticated (RFC 6749, section 6).
    ClientNotAuthenticated,
    /// It expired, or its session ended.
    Over,
    /// More scope is asked for than was granted.
    ScopeTooWide,
    /// The client asks for tokens that are bound to a key, and none was proved.
    ProofNeeded,
    /// It is bound to a key that the client did not prove to hold.
    OtherKey,
    /// It is asked for a resource that the sign-in was not for.
    OtherResource,
    /// The organization is not active.
    OrganizationNotActive,
}

struct StoredToken {
    session_id: i64,
    secret_hash: Vec<u8>,
    expires_at: Millis,
    used_at: Option<Millis>,
    successor_id: Option<i64>,
}

impl WriteOp for RotateRefreshToken {
    type Output = Rotation;
    type Refused = RefreshRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Rotation, OpError<RefreshRefusal>> {
        let refused = |reason| Err(OpError::Refused(reason));
        let Some(token) = self.stored(tx)? else { return refused(RefreshRefusal::Unknown) };
        let subject = tx.one(SUBJECT_BY_SESSION, values![token.session_id], Subject::from_row)?;
        if self.client_id.as_ref().is_some_and(|client_id| *client_id != subject.client_id) {
            return refused(RefreshRefusal::OtherClient);
        }
        if self.client_id.is_none() {
            self.check_unnamed_client(tx, token.session_id)?;
        }
        let mut binding = TokenBinding::of_session(tx, token.session_id)?;
        // RFC 9449, section 5: the refresh token of a public client is bound to its key.
        if !binding.admits_key(self.asked.dpop_jkt.as_deref()) {
            return refused(RefreshRefusal::OtherKey);
        }
        if !subject.is_org_active() {
            return refused(RefreshRefusal::OrganizationNotActive);
        }
        if !subject.is_live(self.now) || token.expires_at <= self.now {
            return refused(RefreshRefusal::Over);
        }
        if let Some(requested) = &self.requested_scope
            && !requested.split(' ').all(|word| subject.scope.split(' ').any(|granted| granted == word))
        {
            return refused(RefreshRefusal::ScopeTooWide);
        }
        let any_left = binding.keep_registered(tx, token.session_id)?;
        if !any_left || !binding.admits_resources(&self.asked.resources) {
            return refused(RefreshRefusal::OtherResource);
        }
        let refresh_token_id = match (token.used_at, token.successor_id) {
            (None, _) => self.issue_successor(tx, &token, &subject)?,
            (Some(used_at), Some(successor_id)) if self.may_repeat(tx, used_at, successor_id)? => {
                successor_id
            }
            _ => {
                self.end_family(tx, &subject)?;
                return Ok(Rotation::Reused);
            }
        };
        Ok(Rotation::Granted(Box::new(Grant { subject, refresh_token_id, binding })))
    }
}

impl RotateRefreshToken {
    /// Where the endpoint knows no client, the token says whose it is, and that client's rules hold.
    fn check_unnamed_client(
        &self,
        tx: &mut WriteTx<'_>,
        session_id: i64,
    ) -> Result<(), OpError<RefreshRefusal>> {
        let (is_confidential, wants_proof) = tx.one(CLIENT_OF_SESSION, values![session_id], |row| {
            Ok((row.get::<bool>(0)?, row.get::<bool>(1)?))
        })?;
        if is_confidential {
            return Err(OpError::Refused(RefreshRefusal::ClientNotAuthenticated));
        }
        // RFC 9449, section 5.2.
        if wants_proof && self.asked.dpop_jkt.is_none() {
            return Err(OpError::Refused(RefreshRefusal::ProofNeeded));
        }
        Ok(())
    }

    fn stored(&self, tx: &mut WriteTx<'_>) -> Result<Option<StoredToken>, StoreError> {
        let token = tx.optional(REFRESH_TOKEN, values![self.id], |row| {
            Ok(StoredToken {
                session_id: row.get(0)?,
                secret_hash: row.get(1)?,
                expires_at: row.get(2)?,
                used_at: row.get(3)?,
                successor_id: row.get(4)?,
            })
        })?;
        // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
        Ok(token.filter(|token| token.secret_hash == self.secret_hash))
    }

    fn issue_successor(
        &self,
        tx: &mut WriteTx<'_>,
        token: &StoredToken,
        subject: &Subject,
    ) -> Result<i64, StoreError> {
        let expires_at = (self.now + REFRESH_LIFETIME).min(subject.expires_at);
        let successor_id = tx.one(
            INSERT_REFRESH_TOKEN,
            values![token.session_id, &self.successor_hash, self.now, expires_at],
            |row| row.get::<i64>(0),
        )?;
        tx.execute(USE_REFRESH_TOKEN, values![self.now, successor_id, self.id])?;
        Ok(successor_id)
    }

    /// RFC 9700, section 4.14.2: one of two holders is a thief, and which one is not known.
    fn end_family(&self, tx: &mut WriteTx<'_>, subject: &Subject) -> Result<(), StoreError> {
        end(tx, subject.session_id, "refresh_token_reused", self.now)?;
        let happened = Happened {
            org_id: subject.org_id,
            action: "session.refresh_token_reused",
            target: ("session", &subject.session_public_id),
            metadata: json!({ "user_id": subject.user_public_id, "client_id": subject.client_id }),
        };
        audit::append(tx, &self.audit, &happened)
    }

    /// A client that lost our answer asks again: inside the grace, and as long as nobody used the successor.
    fn may_repeat(
        &self,
        tx: &mut WriteTx<'_>,
        used_at: Millis,
        successor_id: i64,
    ) -> Result<bool, StoreError> {
        if self.now - used_at > REFRESH_GRACE {
            return Ok(false);
        }
        Ok(tx.optional(SUCCESSOR_UNUSED, values![successor_id], |_| Ok(()))?.is_some())
    }
}
