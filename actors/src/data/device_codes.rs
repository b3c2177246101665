//! Device codes (RFC 8628): issued to a terminal, decided in a browser. The terminal gets its tokens in
//! [`super::device_redemption`].

use super::login_events::{self, SeenFrom};
use super::services::Service;
use super::sessions::SignedIn;
use super::{json_list, string_list, waiting_grants};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// A device code lives this long: 15 minutes.
pub const DEVICE_CODE_LIFETIME: Millis = 15 * 60 * 1000;
/// How long after its expiry a code is kept, so that a replay is still recognized: one hour.
pub const KEPT_AFTER_EXPIRY: Millis = 60 * 60 * 1000;

/// How many user codes there are: rows whose ids are so far apart share one, and never live at the same time.
pub const USER_CODES: i64 = 20_i64.pow(8);

/// The columns of [`DeviceCode`], for every statement that reads one. With its service a code is gone.
macro_rules! select_device_code {
    () => {
        "SELECT d.id, d.secret_hash, d.scope, d.status, d.requested_from, d.user_agent, d.user_id, d.created_at, \
         d.expires_at, d.session_id, d.provider, d.authenticated_at, s.id, s.org_id, s.slug, s.name, s.client_id, \
         o.slug, o.name, o.status, d.amr \
         FROM device_codes d JOIN services s ON s.id = d.service_id AND s.deleted_at IS NULL \
         JOIN organizations o ON o.id = d.org_id"
    };
}

statements! {
    INSERT_DEVICE_CODE = "INSERT INTO device_codes (secret_hash, org_id, service_id, scope, status, requested_from, \
        user_agent, created_at, expires_at) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8) RETURNING id";
    PURGE_DEVICE_CODES = "DELETE FROM device_codes WHERE id IN (SELECT id FROM (SELECT id, expires_at \
        FROM device_codes ORDER BY id LIMIT $1) oldest WHERE expires_at < $2)";
    DEVICE_CODE_BY_ID = concat!(select_device_code!(), " WHERE d.id = $1");
    DEVICE_CODE_BY_USER_CODE_HASH = concat!(select_device_code!(), " WHERE d.user_code_hash = $1");
    NEWEST_DEVICE_CODE = "SELECT COALESCE(MAX(id), 0) FROM device_codes";
    USER_ACCOUNT = "SELECT u.email, u.name, i.email FROM users u LEFT JOIN identities i ON i.user_id = u.id \
        WHERE u.id = $1 ORDER BY i.last_login_at DESC LIMIT 1";
    BIND_DEVICE_CODE = "UPDATE device_codes SET user_id = $1, provider = $2, authenticated_at = $3, amr = $4 WHERE id = $5";
    DECIDE_DEVICE_CODE = "UPDATE device_codes SET status = $1 WHERE id = $2";
    COUNT_LIVE_DEVICE_CODES = "SELECT COUNT(*) FROM (SELECT expires_at FROM device_codes ORDER BY id DESC LIMIT $1) newest \
        WHERE expires_at > $2";
}

/// All of a device code but its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeviceCode {
    /// The organization's row id.
    pub org_id: i64,
    /// The service's row id.
    pub service_id: i64,
    /// Requested scope, space-separated.
    pub scope: String,
    /// The address that asked, shown to the person who approves.
    pub requested_from: String,
    /// The user agent that asked, shown to the person who approves.
    pub user_agent: String,
    /// The present moment.
    pub now: Millis,
}

/// A row to insert.
#[derive(Debug, Clone)]
pub(crate) struct DeviceCodeRow {
    pub(crate) code: NewDeviceCode,
    pub(crate) secret_hash: [u8; 32],
}

/// Inserts many codes at once, and sweeps out more than it inserts, if so many are over.
#[derive(Debug, Clone)]
pub(crate) struct InsertDeviceCodes {
    pub(crate) rows: Vec<DeviceCodeRow>,
}

/// The oldest rows that are looked at beside twice as many as are inserted.
const LEAST_LOOKED_AT: i64 = 16;

impl WriteOp for InsertDeviceCodes {
    type Output = Vec<i64>;
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Self::Output, OpError<()>> {
        if let Some(newest) = self.rows.iter().map(|row| row.code.now).max() {
            let looked_at = i64::try_from(self.rows.len() * 2).unwrap_or_default() + LEAST_LOOKED_AT;
            tx.execute(PURGE_DEVICE_CODES, values![looked_at, newest - KEPT_AFTER_EXPIRY])?;
        }
        let mut ids = Vec::with_capacity(self.rows.len());
        for DeviceCodeRow { code, secret_hash } in &self.rows {
            let values = values![
                secret_hash,
                code.org_id,
                code.service_id,
                &code.scope,
                &code.requested_from,
                &code.user_agent,
                code.now,
                code.now + DEVICE_CODE_LIFETIME,
            ];
            ids.push(tx.one(INSERT_DEVICE_CODE, values, |row| row.get::<i64>(0))?);
        }
        Ok(ids)
    }
}

/// Where a code stands. The states of the migration's drawing, with expiry told apart by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceCodeStatus {
    /// Nobody has decided.
    Pending,
    /// The person said yes; the terminal may redeem.
    Approved,
    /// The person said no.
    Denied,
    /// The terminal has its tokens.
    Redeemed,
}

impl DeviceCodeStatus {
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        match text {
            "pending" => Ok(Self::Pending),
            "approved" => Ok(Self::Approved),
            "denied" => Ok(Self::Denied),
            "redeemed" => Ok(Self::Redeemed),
            other => Err(StoreError::Inconsistent {
                table: "device_codes",
                column: "status",
                found: other.to_owned(),
            }),
        }
    }
}

/// A device code with the service and organization that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCode {
    /// Row id.
    pub id: i64,
    pub(super) secret_hash: Vec<u8>,
    /// Requested scope, space-separated.
    pub scope: String,
    /// Where it stands.
    pub status: DeviceCodeStatus,
    /// The address that asked.
    pub requested_from: String,
    /// The user agent that asked.
    pub user_agent: String,
    /// The account that claimed it by signing in.
    pub user_id: Option<i64>,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it expires.
    pub expires_at: Millis,
    pub(super) session_id: Option<i64>,
    /// The provider of the sign-in that claimed it.
    pub provider: Option<String>,
    authenticated_at: Option<Millis>,
    amr: Vec<String>,
    /// The service's row id.
    pub service_id: i64,
    /// The organization's row id.
    pub org_id: i64,
    /// The service's slug.
    pub service_slug: String,
    /// The service's name.
    pub service_name: String,
    /// The client that asked.
    pub client_id: String,
    /// The organization's slug.
    pub org_slug: String,
    /// The organization's name.
    pub org_name: String,
    /// The organization's status.
    pub org_status: String,
}

impl DeviceCode {
    pub(super) fn by_id(tx: &mut ReadTx<'_>, id: i64) -> Result<Option<Self>, StoreError> {
        tx.optional(DEVICE_CODE_BY_ID, values![id], Self::from_row)
    }

    /// Whether it can no longer be decided or redeemed. Enforced here, never by a janitor.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now
    }

    /// Whether the organization lets its users in.
    #[must_use]
    pub fn is_org_active(&self) -> bool {
        self.org_status == "active"
    }

    /// The terminal is what gets signed in, so its place counts, not that of the browser.
    pub(super) fn seen_from(&self) -> SeenFrom {
        SeenFrom { ip_address: self.requested_from.clone(), user_agent: self.user_agent.clone() }
    }

    pub(super) fn signed_in<'a>(
        &'a self,
        user_id: i64,
        seen_from: &'a SeenFrom,
        now: Millis,
    ) -> SignedIn<'a> {
        SignedIn {
            org_id: self.org_id,
            service_id: self.service_id,
            user_id,
            provider: self.provider.as_deref().unwrap_or_default(),
            method: "device",
            scope: &self.scope,
            authenticated_at: self.authenticated_at.unwrap_or(now),
            seen_from,
            amr: &self.amr,
        }
    }

    /// Records that the sign-in of this terminal led to nothing; an event's public id and its reason.
    pub(super) fn record_failure(
        &self,
        tx: &mut WriteTx<'_>,
        (public_id, reason): (&str, &'static str),
        user_id: i64,
        now: Millis,
    ) -> Result<(), StoreError> {
        let seen_from = self.seen_from();
        let signed_in = self.signed_in(user_id, &seen_from, now);
        login_events::failed(tx, &signed_in.login(public_id, now), Some(user_id), reason)
    }

    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            secret_hash: row.get(1)?,
            scope: row.get(2)?,
            status: DeviceCodeStatus::parse(&row.get::<String>(3)?)?,
            requested_from: row.get(4)?,
            user_agent: row.get(5)?,
            user_id: row.get(6)?,
            created_at: row.get(7)?,
            expires_at: row.get(8)?,
            session_id: row.get(9)?,
            provider: row.get(10)?,
            authenticated_at: row.get(11)?,
            amr: string_list("device_codes", "amr", &row.get::<String>(20)?)?,
            service_id: row.get(12)?,
            org_id: row.get(13)?,
            service_slug: row.get(14)?,
            service_name: row.get(15)?,
            client_id: row.get(16)?,
            org_slug: row.get(17)?,
            org_name: row.get(18)?,
            org_status: row.get(19)?,
        })
    }
}

/// A row that a user code may stand for: what a code means depends on when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PossibleDeviceCode {
    /// The row's id, modulo [`USER_CODES`].
    pub place: i64,
    /// It was made at this moment or later.
    pub created_from: Millis,
    /// It was made before this moment.
    pub created_before: Millis,
}

/// The code that a person typed. Two people may hold the same one, made at different times: then neither is found, for
/// nobody knows which of them typed it.
#[derive(Debug, Clone)]
pub struct DeviceCodeByUserCode {
    /// What it may stand for.
    pub possible: Vec<PossibleDeviceCode>,
    /// Its keyed hash, under which codes were kept before schema version 19.
    pub hash: [u8; 16],
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for DeviceCodeByUserCode {
    type Output = Option<DeviceCode>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let newest = tx.one(NEWEST_DEVICE_CODE, &[], |row| row.get::<i64>(0))?;
        let mut found: Option<DeviceCode> = None;
        for PossibleDeviceCode { place, created_from, created_before } in &self.possible {
            let id = newest - (newest - place).rem_euclid(USER_CODES);
            let code = DeviceCode::by_id(tx, id)?;
            let made = *created_from..*created_before;
            let Some(code) = code.filter(|code| made.contains(&code.created_at)) else { continue };
            match &found {
                Some(other) if !code.is_expired(self.now) && !other.is_expired(self.now) => return Ok(None),
                Some(other) if !other.is_expired(self.now) => {}
                _ => found = Some(code),
            }
        }
        if found.is_none() {
            found = tx.optional(DEVICE_CODE_BY_USER_CODE_HASH, values![&self.hash], DeviceCode::from_row)?;
        }
        Ok(found)
    }
}

/// A claimed code and the account that claimed it, for the page that asks for the decision.
#[derive(Debug, Clone)]
pub struct ClaimedDeviceCode {
    /// Row id of the code.
    pub id: i64,
    /// The account that signed in.
    pub user_id: i64,
}

impl ReadOp for ClaimedDeviceCode {
    /// The code and how to name the account.
    type Output = Option<(DeviceCode, String)>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let code = DeviceCode::by_id(tx, self.id)?;
        let Some(code) = code.filter(|code| code.user_id == Some(self.user_id)) else { return Ok(None) };
        let account = tx.optional(USER_ACCOUNT, values![self.user_id], |row| {
            let (verified, name, claimed): (Option<String>, Option<String>, Option<String>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(verified.or(claimed).or(name).unwrap_or_default())
        })?;
        Ok(account.map(|account| (code, account)))
    }
}

/// How many codes could a guess hit? Asked once at start.
#[derive(Debug, Clone, Copy)]
pub struct CountLiveDeviceCodes {
    /// Beyond so many it makes no difference: no more rows are looked at, the newest first.
    pub most: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for CountLiveDeviceCodes {
    type Output = i64;
    const LANE: crate::message::Lane = crate::message::Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<i64, StoreError> {
        tx.one(COUNT_LIVE_DEVICE_CODES, values![self.most, self.now], |row| row.get(0))
    }
}

/// Why a code cannot be claimed or decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceCodeRefusal {
    /// It expired, or was purged.
    Expired,
    /// It was decided before.
    Decided,
    /// Another account claimed it by signing in first.
    ClaimedByOther,
    /// The organization is not active.
    OrganizationNotActive,
}

/// Binds a code to the account that signed in for it. Only that account can decide it from then on.
pub(crate) fn bind(
    tx: &mut WriteTx<'_>,
    id: i64,
    service: &Service,
    (user_id, provider, amr): (i64, &str, &[String]),
    now: Millis,
) -> Result<Result<(), DeviceCodeRefusal>, StoreError> {
    let code = DeviceCode::by_id(tx, id)?;
    // The code's own service: signing in to another one never touches it.
    let Some(code) = code.filter(|code| code.service_id == service.id) else {
        return Ok(Err(DeviceCodeRefusal::Expired));
    };
    if let Err(refusal) = decidable(&code, user_id, now) {
        return Ok(Err(refusal));
    }
    let amr = json_list(amr);
    tx.execute(BIND_DEVICE_CODE, values![user_id, provider, now, &amr, id])?;
    Ok(Ok(()))
}

fn decidable(code: &DeviceCode, user_id: i64, now: Millis) -> Result<(), DeviceCodeRefusal> {
    if code.is_expired(now) {
        Err(DeviceCodeRefusal::Expired)
    } else if code.status != DeviceCodeStatus::Pending {
        Err(DeviceCodeRefusal::Decided)
    } else if code.user_id.is_some_and(|claimed_by| claimed_by != user_id) {
        Err(DeviceCodeRefusal::ClaimedByOther)
    } else if !code.is_org_active() {
        Err(DeviceCodeRefusal::OrganizationNotActive)
    } else {
        Ok(())
    }
}

/// The person's decision.
#[derive(Debug, Clone)]
pub struct DecideDeviceCode {
    /// Row id of the code.
    pub id: i64,
    /// The account that claimed it.
    pub user_id: i64,
    /// Yes or no.
    pub approve: bool,
    /// UUID of the login event that a no leads to. A yes leads to one when the terminal redeems the code.
    pub event_public_id: String,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for DecideDeviceCode {
    type Output = DeviceCode;
    type Refused = DeviceCodeRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<DeviceCode, OpError<DeviceCodeRefusal>> {
        let code = DeviceCode::by_id(tx, self.id)?;
        let Some(code) = code.filter(|code| code.user_id.is_some()) else {
            return Err(OpError::Refused(DeviceCodeRefusal::Expired));
        };
        decidable(&code, self.user_id, self.now).map_err(OpError::Refused)?;
        let status = if self.approve { "approved" } else { "denied" };
        tx.execute(DECIDE_DEVICE_CODE, values![status, self.id])?;
        if self.approve {
            waiting_grants::keep(tx, (code.org_id, self.user_id, code.service_id), self.now)?;
        } else {
            waiting_grants::forget(tx, self.user_id, code.service_id)?;
            code.record_failure(tx, (&self.event_public_id, "denied"), self.user_id, self.now)?;
        }
        Ok(code)
    }
}
