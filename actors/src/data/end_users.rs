//! The users of an organization's services, as its administrators see them.

use std::collections::HashMap;

use serde_json::json;

use super::audit::{self, AuditContext, Happened};
use super::provider_grants::{self, Whose};
use super::users::User;
use super::{browser_sessions, consents, growth, login_users, string_list};
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{Lane, ReadOp, WriteOp};
use crate::{statements, values};

/// Which users stand in a list: one of them.
macro_rules! one_user {
    () => {
        "SELECT u.id FROM users u WHERE u.org_id = $1 AND u.public_id = $2 AND u.erased_at IS NULL"
    };
}

/// Which users a list is about: all of an organization, those with an address like that, those of a service.
macro_rules! matching_users {
    () => {
        " FROM users u WHERE u.org_id = $1 AND u.erased_at IS NULL \
         AND (CAST($2 AS TEXT) IS NULL OR LOWER(u.email) LIKE LOWER($2) ESCAPE '!') \
         AND (CAST($3 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM sessions x JOIN services s ON s.id = x.service_id \
         WHERE x.user_id = u.id AND s.slug = $3 AND s.deleted_at IS NULL)) "
    };
}

/// A page of them, newest first.
macro_rules! page_of_users {
    () => {
        concat!("SELECT u.id", matching_users!(), "ORDER BY u.id DESC LIMIT $4 OFFSET $5")
    };
}

macro_rules! users_in {
    ($users:expr) => {
        concat!(
            "SELECT v.id, v.public_id, v.email, v.name, v.avatar_url, v.created_at FROM users v WHERE v.id IN (",
            $users,
            ") ORDER BY v.id DESC"
        )
    };
}

macro_rules! identities_in {
    ($users:expr) => {
        concat!(
            "SELECT i.user_id, i.provider, i.issuer, i.email, i.created_at, i.last_login_at FROM identities i \
             WHERE i.user_id IN (",
            $users,
            ") ORDER BY i.id"
        )
    };
}

macro_rules! subscriptions_in {
    ($users:expr) => {
        concat!(
            "SELECT b.user_id, b.public_id, s.public_id, s.slug, s.name, p.public_id, p.name, p.features, b.status, \
             b.current_period_end, b.created_at FROM subscriptions b JOIN services s ON s.id = b.service_id \
             JOIN plans p ON p.id = b.plan_id WHERE b.user_id IN (",
            $users,
            ") ORDER BY b.id"
        )
    };
}

macro_rules! session_counts_in {
    ($users:expr, $now:literal) => {
        concat!(
            "SELECT y.user_id, COUNT(*) FROM sessions y WHERE y.user_id IN (",
            $users,
            ") AND y.ended_at IS NULL AND y.expires_at > ",
            $now,
            " GROUP BY y.user_id"
        )
    };
}

statements! {
    END_USER = users_in!(one_user!());
    END_USER_IDENTITIES = identities_in!(one_user!());
    END_USER_SUBSCRIPTIONS = subscriptions_in!(one_user!());
    END_USER_SESSIONS = session_counts_in!(one_user!(), "$3");
    END_USERS = users_in!(page_of_users!());
    END_USERS_IDENTITIES = identities_in!(page_of_users!());
    END_USERS_SUBSCRIPTIONS = subscriptions_in!(page_of_users!());
    END_USERS_SESSIONS = session_counts_in!(page_of_users!(), "$6");
    COUNT_END_USERS = concat!("SELECT COUNT(*)", matching_users!());
    END_USER_ID = one_user!();
    END_SESSIONS_OF_USER = "UPDATE sessions SET ended_at = $1, ended_reason = $2 \
        WHERE user_id = $3 AND org_id = $4 AND ended_at IS NULL AND expires_at > $1";
    SIGN_OUT_USER = "UPDATE users SET signed_out_at = $1, updated_at = $1 WHERE id = $2";
    ERASE_USER = "UPDATE users SET email = NULL, name = NULL, avatar_url = NULL, erased_at = $1, updated_at = $1 \
        WHERE id = $2";
    DELETE_IDENTITIES = "DELETE FROM identities WHERE user_id = $1";
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// `github`, `google`, ...
    pub provider: String,
    /// Who vouches.
    pub issuer: String,
    /// The address that the provider names, proved or not.
    pub email: Option<String>,
    /// When it was first used here.
    pub created_at: Millis,
    /// When it was last used here.
    pub last_login_at: Millis,
}

/// What a user has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSubscription {
    /// UUID for the outside.
    pub public_id: String,
    /// UUID of the service.
    pub service_public_id: String,
    /// Slug of the service.
    pub service_slug: String,
    /// Name of the service.
    pub service_name: String,
    /// UUID of the plan.
    pub plan_public_id: String,
    /// Name of the plan.
    pub plan_name: String,
    /// What the plan grants.
    pub features: Vec<String>,
    /// Stripe's word.
    pub status: String,
    /// Until when it is paid.
    pub current_period_end: Option<Millis>,
    /// Since when.
    pub created_at: Millis,
}

/// A user of an organization's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUser {
    /// Who it is.
    pub user: User,
    /// How they sign in, oldest first.
    pub identities: Vec<UserIdentity>,
    /// What they pay for, oldest first.
    pub subscriptions: Vec<UserSubscription>,
    /// Sessions that live.
    pub session_count: i64,
}

impl EndUser {
    /// When they last signed in.
    #[must_use]
    pub fn last_login_at(&self) -> Option<Millis> {
        self.identities.iter().map(|identity| identity.last_login_at).max()
    }
}

type Keyed<T> = HashMap<i64, Vec<T>>;

fn by_user<T>(rows: Vec<(i64, T)>) -> Keyed<T> {
    let mut found = Keyed::new();
    for (user_id, item) in rows {
        found.entry(user_id).or_default().push(item);
    }
    found
}

fn user(row: &Row<'_, '_>) -> Result<(i64, User), StoreError> {
    Ok((row.get(0)?, User::from_columns(row, 1)?))
}

fn identity(row: &Row<'_, '_>) -> Result<(i64, UserIdentity), StoreError> {
    let identity = UserIdentity {
        provider: row.get(1)?,
        issuer: row.get(2)?,
        email: row.get(3)?,
        created_at: row.get(4)?,
        last_login_at: row.get(5)?,
    };
    Ok((row.get(0)?, identity))
}

fn subscription(row: &Row<'_, '_>) -> Result<(i64, UserSubscription), StoreError> {
    let subscription = UserSubscription {
        public_id: row.get(1)?,
        service_public_id: row.get(2)?,
        service_slug: row.get(3)?,
        service_name: row.get(4)?,
        plan_public_id: row.get(5)?,
        plan_name: row.get(6)?,
        features: string_list("plans", "features", &row.get::<String>(7)?)?,
        status: row.get(8)?,
        current_period_end: row.get(9)?,
        created_at: row.get(10)?,
    };
    Ok((row.get(0)?, subscription))
}

fn count(row: &Row<'_, '_>) -> Result<(i64, i64), StoreError> {
    Ok((row.get(0)?, row.get(1)?))
}

fn assemble(
    users: Vec<(i64, User)>,
    identities: Vec<(i64, UserIdentity)>,
    subscriptions: Vec<(i64, UserSubscription)>,
    sessions: Vec<(i64, i64)>,
) -> Vec<EndUser> {
    let (mut identities, mut subscriptions) = (by_user(identities), by_user(subscriptions));
    let sessions: HashMap<i64, i64> = sessions.into_iter().collect();
    users
        .into_iter()
        .map(|(id, user)| EndUser {
            user,
            identities: identities.remove(&id).unwrap_or_default(),
            subscriptions: subscriptions.remove(&id).unwrap_or_default(),
            session_count: sessions.get(&id).copied().unwrap_or_default(),
        })
        .collect()
}

/// One user of an organization, unless erased.
#[derive(Debug, Clone)]
pub struct EndUserByPublicId {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the user.
    pub public_id: String,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for EndUserByPublicId {
    type Output = Option<EndUser>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let one = values![self.org_id, &self.public_id];
        let found = assemble(
            tx.all(END_USER, one, user)?,
            tx.all(END_USER_IDENTITIES, one, identity)?,
            tx.all(END_USER_SUBSCRIPTIONS, one, subscription)?,
            tx.all(END_USER_SESSIONS, values![self.org_id, &self.public_id, self.now], count)?,
        );
        Ok(found.into_iter().next())
    }
}

/// A page of an organization's users, newest first. Always five statements, however long the page.
#[derive(Debug, Clone)]
pub struct EndUsers {
    /// Row id of the organization.
    pub org_id: i64,
    /// Only those whose address contains this text.
    pub email: Option<String>,
    /// Only those who ever signed in to this service.
    pub service_slug: Option<String>,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
    /// The present moment.
    pub now: Millis,
}

/// A page of an organization's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUserPage {
    /// The users.
    pub users: Vec<EndUser>,
    /// How many there are on all pages together.
    pub total: i64,
}

impl ReadOp for EndUsers {
    type Output = EndUserPage;
    const LANE: Lane = Lane::Report;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<EndUserPage, StoreError> {
        let email = self.email.as_deref().map(contains);
        let (org_id, service) = (self.org_id, &self.service_slug);
        let page = values![org_id, &email, service, self.limit, self.offset];
        let page_now = values![org_id, &email, service, self.limit, self.offset, self.now];
        let users = assemble(
            tx.all(END_USERS, page, user)?,
            tx.all(END_USERS_IDENTITIES, page, identity)?,
            tx.all(END_USERS_SUBSCRIPTIONS, page, subscription)?,
            tx.all(END_USERS_SESSIONS, page_now, count)?,
        );
        let total = tx.one(COUNT_END_USERS, values![org_id, &email, service], |row| row.get(0))?;
        Ok(EndUserPage { users, total })
    }
}

/// The pattern of a LIKE that finds `text` literally, with `!` as the escape character.
pub(crate) fn contains(text: &str) -> String {
    let literal = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{literal}%")
}

/// The organization has no such user, or erased them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchUser;

fn user_id(tx: &mut WriteTx<'_>, org_id: i64, public_id: &str) -> Result<i64, OpError<NoSuchUser>> {
    tx.optional(END_USER_ID, values![org_id, public_id], |row| row.get::<i64>(0))?
        .ok_or(OpError::Refused(NoSuchUser))
}

/// Ends a user's sessions, and sees to it that codes handed out before open none. Returns how many lived.
fn end_sessions(
    tx: &mut WriteTx<'_>,
    (org_id, user_id): (i64, i64),
    reason: &'static str,
    now: Millis,
) -> Result<usize, StoreError> {
    tx.execute(SIGN_OUT_USER, values![now, user_id])?;
    browser_sessions::end_all_of_user(tx, user_id, reason, now)?;
    tx.execute(END_SESSIONS_OF_USER, values![now, reason, user_id, org_id])
}

/// Ends all sessions of a user in one organization.
#[derive(Debug, Clone)]
pub struct RevokeUserSessions {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the user.
    pub user_public_id: String,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for RevokeUserSessions {
    /// How many sessions ended.
    type Output = usize;
    type Refused = NoSuchUser;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<usize, OpError<NoSuchUser>> {
        let user_id = user_id(tx, self.org_id, &self.user_public_id)?;
        let revoked = end_sessions(tx, (self.org_id, user_id), "revoked", self.audit.now)?;
        let happened = Happened {
            org_id: self.org_id,
            action: "user.sessions_revoked",
            target: ("user", &self.user_public_id),
            metadata: json!({ "revoked_count": revoked }),
        };
        audit::append(tx, &self.audit, &happened)?;
        Ok(revoked)
    }
}

/// Erases a user: address, name, picture and identities go, sessions end. An empty row stays, so that counts and
/// history keep their sense. The same person may come back, as a new user.
#[derive(Debug, Clone)]
pub struct EraseUser {
    /// Row id of the organization.
    pub org_id: i64,
    /// UUID of the user.
    pub user_public_id: String,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for EraseUser {
    type Output = ();
    type Refused = NoSuchUser;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<NoSuchUser>> {
        let now = self.audit.now;
        let user_id = user_id(tx, self.org_id, &self.user_public_id)?;
        let revoked = end_sessions(tx, (self.org_id, user_id), "user_erased", now)?;
        tx.execute(DELETE_IDENTITIES, values![user_id])?;
        provider_grants::forget(tx, Whose::User(user_id), now)?;
        consents::forget_user(tx, user_id)?;
        tx.execute(ERASE_USER, values![now, user_id])?;
        login_users::forget_places(tx, user_id)?;
        growth::end_user_erased(tx, self.org_id, now)?;
        let happened = Happened {
            org_id: self.org_id,
            action: "user.erased",
            target: ("user", &self.user_public_id),
            metadata: json!({ "revoked_count": revoked }),
        };
        audit::append(tx, &self.audit, &happened)?;
        Ok(())
    }
}
