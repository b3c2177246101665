//! Authorization codes (RFC 6749, section 4.1): made by a web sign-in, redeemed once at the token endpoint.

use super::browser_sessions::{self, REPLACED};
use super::consents;
use super::login_events::{self, SeenFrom};
use super::services::Service;
use super::sessions::{self, Grant, NewSession, SignedIn};
use super::string_list;
use super::token_binding::TokenBinding;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::{OpError, StoreError};
use crate::message::WriteOp;
use crate::{statements, values};

/// A code lives this long: 60 seconds.
pub const CODE_LIFETIME: Millis = 60 * 1000;

statements! {
    INSERT_CODE = "INSERT INTO authorization_codes (secret_hash, org_id, service_id, user_id, provider, \
        redirect_uri, registered_uri, code_challenge, scope, nonce, ip_address, user_agent, authenticated_at, \
        browser_session_id, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id";
    CODE = "SELECT c.secret_hash, c.org_id, c.service_id, c.user_id, c.provider, c.redirect_uri, c.code_challenge, \
        c.scope, c.nonce, c.authenticated_at, c.expires_at, c.redeemed_at, c.session_id, s.client_id, \
        s.redirect_uris, o.status, o.is_platform, c.registered_uri, c.ip_address, c.user_agent, c.browser_session_id, \
        b.ended_reason, b.amr, s.is_third_party \
        FROM authorization_codes c JOIN services s ON s.id = c.service_id AND s.deleted_at IS NULL \
        JOIN organizations o ON o.id = c.org_id LEFT JOIN browser_sessions b ON b.id = c.browser_session_id \
        WHERE c.id = $1";
    REDEEM_CODE = "UPDATE authorization_codes SET redeemed_at = $1, session_id = $2 WHERE id = $3";
    PURGE_CODES = "DELETE FROM authorization_codes WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM authorization_codes ORDER BY id LIMIT 64) oldest WHERE expires_at < $1)";
}

/// How long after its expiry a code is kept, so that a replay is still recognized: one day.
pub(super) const KEPT_AFTER_EXPIRY: Millis = 24 * 60 * 60 * 1000;

/// A code to be: what the app asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthorizationCode {
    /// SHA-256 of the secret half of the code.
    pub secret_hash: [u8; 32],
    /// Where the code goes; the token request must name the same.
    pub redirect_uri: String,
    /// The registered URI that it matched: the same but for the port of a loopback address (RFC 8252, section 7.3).
    pub registered_uri: String,
    /// RFC 7636, method S256. None only for a confidential client that sent none.
    pub code_challenge: Option<String>,
    /// Granted scope, space-separated.
    pub scope: String,
    /// OpenID Connect nonce, for the `id_token`.
    pub nonce: Option<String>,
    /// What its tokens are to be bound to.
    pub binding: TokenBinding,
    /// Where the browser is, for the login event.
    pub seen_from: SeenFrom,
}

/// Whom a code speaks for: somebody who just came from a provider, or did so earlier in this browser.
pub(crate) struct CodeHolder<'a> {
    pub(crate) user_id: i64,
    pub(crate) provider: &'a str,
    pub(crate) authenticated_at: Millis,
    pub(crate) browser_session_id: Option<i64>,
}

pub(crate) fn insert(
    tx: &mut WriteTx<'_>,
    new: &NewAuthorizationCode,
    service: &Service,
    holder: &CodeHolder<'_>,
    now: Millis,
) -> Result<i64, StoreError> {
    // Old rows leave by the same door through which new ones come in: a bounded look at the oldest.
    tx.execute(PURGE_CODES, values![now - KEPT_AFTER_EXPIRY])?;
    let values = values![
        &new.secret_hash,
        service.org_id,
        service.id,
        holder.user_id,
        holder.provider,
        &new.redirect_uri,
        &new.registered_uri,
        &new.code_challenge,
        &new.scope,
        &new.nonce,
        &new.seen_from.ip_address,
        &new.seen_from.user_agent,
        holder.authenticated_at,
        holder.browser_session_id,
        now,
        now + CODE_LIFETIME,
    ];
    let id = tx.one(INSERT_CODE, values, |row| row.get::<i64>(0))?;
    new.binding.bind_code(tx, id)?;
    Ok(id)
}

/// Exchanges a code for a session. Everything is checked in the transaction that redeems it.
#[derive(Debug, Clone)]
pub struct RedeemAuthorizationCode {
    /// The row id in front of the secret.
    pub id: i64,
    /// SHA-256 of the secret presented.
    pub secret_hash: [u8; 32],
    /// The client that presents it.
    pub client_id: String,
    /// As in the token request (RFC 6749, section 4.1.3).
    pub redirect_uri: String,
    /// S256 of the verifier presented (RFC 7636, section 4.6).
    pub code_challenge: Option<String>,
    /// Whether the client proved who it is with its secret.
    pub client_authenticated: bool,
    /// The key that the client proved to hold (RFC 9449) and what the access token is to be for (RFC 8707).
    pub asked: TokenBinding,
    /// The session to open. What it is bound to follows from the code.
    pub session: NewSession,
    /// The present moment.
    pub now: Millis,
}

/// What presenting a code led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeRedemption {
    /// A session, and the nonce for its `id_token`.
    Granted {
        /// The session.
        grant: Box<Grant>,
        /// As sent to the authorization endpoint.
        nonce: Option<String>,
    },
    /// The code was used before. What the first use produced is revoked (RFC 6749, section 4.1.2).
    Replayed,
}

/// Why a code was refused without any change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRefusal {
    /// No such code, or the secret is wrong.
    Unknown,
    /// It was made for another client.
    OtherClient,
    /// It is bound to a key that the client did not prove to hold (RFC 9449, section 10).
    OtherKey,
    /// It is asked for a resource that it was not made for (RFC 8707).
    OtherResource,
    /// It is older than 60 seconds.
    Expired,
    /// Another redirect URI than at the authorization endpoint, or one that is no longer registered.
    RedirectUri,
    /// The verifier does not match the challenge.
    CodeVerifier,
    /// The organization is not active.
    OrganizationNotActive,
    /// The person signed out of the browser in the meantime.
    SignedOut,
}

struct StoredCode {
    secret_hash: Vec<u8>,
    org_id: i64,
    service_id: i64,
    user_id: i64,
    provider: String,
    redirect_uri: String,
    code_challenge: Option<String>,
    scope: String,
    nonce: Option<String>,
    authenticated_at: Millis,
    expires_at: Millis,
    redeemed_at: Option<Millis>,
    session_id: Option<i64>,
    client_id: String,
    registered: Vec<String>,
    org_status: String,
    is_platform: bool,
    registered_uri: String,
    seen_from: SeenFrom,
    browser_session_id: Option<i64>,
    browser_ended: Option<String>,
    is_third_party: bool,
    amr: Vec<String>,
}

impl StoredCode {
    fn signed_in(&self) -> SignedIn<'_> {
        SignedIn {
            org_id: self.org_id,
            service_id: self.service_id,
            user_id: self.user_id,
            provider: &self.provider,
            method: "web",
            scope: &self.scope,
            authenticated_at: self.authenticated_at,
            seen_from: &self.seen_from,
            amr: &self.amr,
        }
    }

    /// The browser may have signed in anew since: the code then stands and falls with what is there now.
    fn follow_browser(&mut self, tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
        if let Some(id) = self.browser_session_id
            && self.browser_ended.as_deref() == Some(REPLACED)
        {
            let (id, ended) = browser_sessions::successor(tx, id)?;
            (self.browser_session_id, self.browser_ended) = (Some(id), ended);
        }
        Ok(())
    }
}

impl WriteOp for RedeemAuthorizationCode {
    type Output = CodeRedemption;
    type Refused = CodeRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<CodeRedemption, OpError<CodeRefusal>> {
        let Some(mut code) = self.stored(tx)? else { return Err(OpError::Refused(CodeRefusal::Unknown)) };
        code.follow_browser(tx)?;
        let signed_in = code.signed_in();
        if code.redeemed_at.is_some() {
            if let Some(session_id) = code.session_id {
                sessions::end(tx, session_id, "authorization_code_replayed", self.now)?;
            }
            let login = signed_in.login(&self.session.public_id, self.now);
            login_events::failed(tx, &login, Some(code.user_id), "code_replayed")?;
            return Ok(CodeRedemption::Replayed);
        }
        self.check(&code).map_err(OpError::Refused)?;
        // Withdrawn since: what the person does not allow any more opens nothing.
        let who = (code.user_id, code.service_id);
        if code.is_third_party && !consents::covers(tx, who, &code.scope)? {
            return Err(OpError::Refused(CodeRefusal::SignedOut));
        }
        let session = self.bound_session(tx)?;
        let grant = sessions::open(tx, &session, &signed_in, self.now)?;
        browser_sessions::link(tx, grant.subject.session_id, code.browser_session_id)?;
        tx.execute(REDEEM_CODE, values![self.now, grant.subject.session_id, self.id])?;
        Ok(CodeRedemption::Granted { grant: Box::new(grant), nonce: code.nonce.clone() })
    }
}

impl RedeemAuthorizationCode {
    /// The session to open, within what the code is bound to.
    fn bound_session(&self, tx: &mut WriteTx<'_>) -> Result<NewSession, OpError<CodeRefusal>> {
        let code = TokenBinding::of_code(tx, self.id)?;
        if !code.admits_key(self.asked.dpop_jkt.as_deref()) {
            return Err(OpError::Refused(CodeRefusal::OtherKey));
        }
        if !code.admits_resources(&self.asked.resources) {
            return Err(OpError::Refused(CodeRefusal::OtherResource));
        }
        // RFC 9449, section 5: what a confidential client refreshes with is bound to its credential instead.
        let dpop_jkt = self.asked.dpop_jkt.clone().filter(|_| !self.client_authenticated);
        Ok(NewSession { binding: TokenBinding { dpop_jkt, ..code }, ..self.session.clone() })
    }

    fn stored(&self, tx: &mut WriteTx<'_>) -> Result<Option<StoredCode>, StoreError> {
        let code = tx.optional(CODE, values![self.id], |row| {
            let amr: Option<String> = row.get(22)?;
            Ok(StoredCode {
                secret_hash: row.get(0)?,
                org_id: row.get(1)?,
                service_id: row.get(2)?,
                user_id: row.get(3)?,
                provider: row.get(4)?,
                redirect_uri: row.get(5)?,
                code_challenge: row.get(6)?,
                scope: row.get(7)?,
                nonce: row.get(8)?,
                authenticated_at: row.get(9)?,
                expires_at: row.get(10)?,
                redeemed_at: row.get(11)?,
                session_id: row.get(12)?,
                client_id: row.get(13)?,
                registered: string_list("services", "redirect_uris", &row.get::<String>(14)?)?,
                org_status: row.get(15)?,
                is_platform: row.get(16)?,
                registered_uri: row.get(17)?,
                seen_from: SeenFrom { ip_address: row.get(18)?, user_agent: row.get(19)? },
                browser_session_id: row.get(20)?,
                browser_ended: row.get(21)?,
                is_third_party: row.get(23)?,
                amr: amr.map_or(Ok(Vec::new()), |json| string_list("browser_sessions", "amr", &json))?,
            })
        })?;
        // Hashes of 256-bit secrets: how long the comparison takes tells nothing about the secret.
        Ok(code.filter(|code| code.secret_hash == self.secret_hash))
    }

    fn check(&self, code: &StoredCode) -> Result<(), CodeRefusal> {
        if code.client_id != self.client_id {
            return Err(CodeRefusal::OtherClient);
        }
        if code.expires_at <= self.now {
            return Err(CodeRefusal::Expired);
        }
        // RFC 6749, section 4.1.3: the values must be identical.
        if code.redirect_uri != self.redirect_uri {
            return Err(CodeRefusal::RedirectUri);
        }
        // RFC 9700, section 2.1.1: a verifier counts only where there was a challenge, or PKCE could be taken off.
        if code.code_challenge != self.code_challenge {
            return Err(CodeRefusal::CodeVerifier);
        }
        // Something must tie the code to its client: the verifier or the secret. The secret may be gone since.
        if code.code_challenge.is_none() && !self.client_authenticated {
            return Err(CodeRefusal::CodeVerifier);
        }
        if code.org_status != "active" {
            return Err(CodeRefusal::OrganizationNotActive);
        }
        if code.browser_ended.as_deref().is_some_and(|reason| reason != REPLACED) {
            return Err(CodeRefusal::SignedOut);
        }
        // A URI that the organization took back since must not receive tokens. The platform's own is configuration.
        let still_registered = code.is_platform || code.registered.contains(&code.registered_uri);
        if still_registered { Ok(()) } else { Err(CodeRefusal::RedirectUri) }
    }
}
