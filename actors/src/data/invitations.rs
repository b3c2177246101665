//! Invitations: who may become a member of an organization by proving an e-mail address.
//!
//! ```text
//! CreateInvitation -> pending --AcceptInvitation--> accepted (and a membership, in one transaction)
//!                             --DeclineInvitation-> declined
//!                             --CancelInvitation--> cancelled
//! ```

use serde_json::{Value as Json, json};

use super::PLATFORM_ORG_ID;
use super::audit::{self, AuditContext, Happened};
use super::memberships::Role;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// How long an invitation lives, in milliseconds: 7 days.
pub const INVITATION_LIFETIME: Millis = 7 * 24 * 60 * 60 * 1000;

/// An invitation that expired before anybody decided is expired, also when a later one took its place (then it was
/// cancelled at or after its end). `$1` is the present moment.
macro_rules! state {
    () => {
        "CASE WHEN i.status IN ('pending', 'cancelled') AND COALESCE(i.decided_at, $1) >= i.expires_at \
        THEN 'expired' ELSE i.status END"
    };
}

/// The columns that `Invitation::from_row` reads, the token's hash after them.
macro_rules! select_invitations {
    ($($rest:expr),+) => {
        concat!(
            "SELECT i.id, i.public_id, i.email, i.role, ",
            state!(),
            ", i.expires_at, i.created_at, ",
            "o.id, o.public_id, o.slug, o.name, o.status, u.id, u.public_id, u.email, i.token_hash ",
            "FROM invitations i JOIN organizations o ON o.id = i.org_id JOIN users u ON u.id = i.invited_by ",
            $($rest),+
        )
    };
}

statements! {
    INVITER_STANDING = "SELECT o.status, m.role FROM organizations o \
        LEFT JOIN memberships m ON m.org_id = o.id AND m.user_id = $1 WHERE o.id = $2";
    INVITED_MEMBER_BY_EMAIL = "SELECT m.id FROM users u JOIN memberships m ON m.user_id = u.id AND m.org_id = $1 \
        WHERE u.org_id = $2 AND u.email = $3";
    REPLACE_EXPIRED = "UPDATE invitations SET status = 'cancelled', decided_at = $1 \
        WHERE org_id = $2 AND email = $3 AND status = 'pending' AND expires_at <= $1";
    PENDING_FOR_EMAIL = "SELECT id FROM invitations WHERE org_id = $1 AND email = $2 AND status = 'pending'";
    INSERT_INVITATION = "INSERT INTO invitations (public_id, org_id, email, role, token_hash, invited_by, status, \
        expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8) RETURNING id";
    INVITATION_BY_ID = select_invitations!("WHERE i.id = $2");
    INVITATION_BY_PUBLIC_ID = select_invitations!("WHERE i.public_id = $2 AND i.org_id = $3");
    INVITATIONS_OF_ORGANIZATION = select_invitations!(
        "WHERE i.org_id = $2 AND (CAST($3 AS TEXT) IS NULL OR ",
        state!(),
        " = $3) ORDER BY i.id DESC LIMIT $4 OFFSET $5"
    );
    INVITATIONS_FOR_EMAIL = select_invitations!(
        "WHERE i.email = $2 AND i.status = 'pending' AND i.expires_at > $1 AND o.status = 'active' \
        ORDER BY i.id DESC LIMIT $3 OFFSET $4"
    );
    INVITEE_ACCOUNT = "SELECT email, public_id FROM users WHERE id = $1 AND org_id = $2";
    TEAM_AND_LIMIT = "SELECT COUNT(m.id), COALESCE(o.max_users, t.default_max_users) FROM organizations o \
        JOIN tiers t ON t.id = o.tier_id LEFT JOIN memberships m ON m.org_id = o.id WHERE o.id = $1 \
        GROUP BY o.id, o.max_users, t.default_max_users";
    INVITEE_MEMBERSHIP = "SELECT id FROM memberships WHERE org_id = $1 AND user_id = $2";
    INSERT_INVITED_MEMBER = "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
    DECIDE_INVITATION = "UPDATE invitations SET status = $1, decided_at = $2 WHERE id = $3 AND status = 'pending'";
}

/// An invitation, with the names that its reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Row id.
    pub id: i64,
    /// UUID for the outside.
    pub public_id: String,
    /// Who is invited: a normalized address.
    pub email: String,
    /// `admin` or `member`.
    pub role: Role,
    /// `pending`, `accepted`, `declined`, `cancelled` or `expired`, as of the question's moment.
    pub status: String,
    /// When it ends by itself.
    pub expires_at: Millis,
    /// When it was made.
    pub created_at: Millis,
    /// The organization's row id.
    pub org_id: i64,
    /// The organization's public id.
    pub org_public_id: String,
    /// The organization's slug.
    pub org_slug: String,
    /// The organization's name.
    pub org_name: String,
    /// The organization's status.
    pub org_status: String,
    /// Row id of who invited.
    pub inviter_id: i64,
    /// Public id of who invited.
    pub inviter_public_id: String,
    /// The address of who invited.
    pub inviter_email: Option<String>,
}

impl Invitation {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            email: row.get(2)?,
            role: Role::from_column(&row.get::<String>(3)?)?,
            status: row.get(4)?,
            expires_at: row.get(5)?,
            created_at: row.get(6)?,
            org_id: row.get(7)?,
            org_public_id: row.get(8)?,
            org_slug: row.get(9)?,
            org_name: row.get(10)?,
            org_status: row.get(11)?,
            inviter_id: row.get(12)?,
            inviter_public_id: row.get(13)?,
            inviter_email: row.get(14)?,
        })
    }
}

/// A token as it was presented: the row that it names and the hash of the secret that must prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvitationToken {
    /// Row id.
    pub id: i64,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
}

/// Finds what a token names. A wrong secret and a missing row are the same.
fn by_token(
    tx: &mut ReadTx<'_>,
    token: &InvitationToken,
    now: Millis,
) -> Result<Option<Invitation>, StoreError> {
    let found = tx.optional(INVITATION_BY_ID, values![now, token.id], |row| {
        Ok((Invitation::from_row(row)?, row.get::<[u8; 32]>(15)?))
    })?;
    // Hashes of 256 random bits: how long the comparison takes says nothing about the secret.
    Ok(found.filter(|(_, hash)| *hash == token.secret_hash).map(|(invitation, _)| invitation))
}

/// Why an invitation was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InviteRefusal {
    /// The inviter may not invite any more.
    NotAllowed,
    /// The organization is not active; its status.
    OrganizationNotActive(String),
    /// A member has this address.
    AlreadyMember,
    /// An invitation for this address is pending.
    AlreadyInvited,
}

/// Invites an address. One that expired makes room.
#[derive(Debug, Clone)]
pub struct CreateInvitation {
    /// Row id of the organization.
    pub org_id: i64,
    /// Row id of the user who invites.
    pub inviter_id: i64,
    /// UUID of the invitation.
    pub public_id: String,
    /// The address, normalized.
    pub email: String,
    /// The role to be.
    pub role: Role,
    /// SHA-256 of the token's secret.
    pub token_hash: [u8; 32],
    /// The present moment.
    pub now: Millis,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for CreateInvitation {
    type Output = Invitation;
    type Refused = InviteRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<Invitation, OpError<InviteRefusal>> {
        let (status, role) = standing(tx, self.inviter_id, self.org_id)?;
        // An owner is made by transfer only.
        if role < Some(Role::Admin) || self.role == Role::Owner {
            return Err(OpError::Refused(InviteRefusal::NotAllowed));
        }
        if status != "active" {
            return Err(OpError::Refused(InviteRefusal::OrganizationNotActive(status)));
        }
        let of_email = values![self.org_id, PLATFORM_ORG_ID, &self.email];
        if tx.optional(INVITED_MEMBER_BY_EMAIL, of_email, |row| row.get::<i64>(0))?.is_some() {
            return Err(OpError::Refused(InviteRefusal::AlreadyMember));
        }
        tx.execute(REPLACE_EXPIRED, values![self.now, self.org_id, &self.email])?;
        let of_email = values![self.org_id, &self.email];
        if tx.optional(PENDING_FOR_EMAIL, of_email, |row| row.get::<i64>(0))?.is_some() {
            return Err(OpError::Refused(InviteRefusal::AlreadyInvited));
        }
        let values = values![
            &self.public_id,
            self.org_id,
            &self.email,
            self.role.as_str(),
            &self.token_hash,
            self.inviter_id,
            self.now + INVITATION_LIFETIME,
            self.now,
        ];
        let id = tx.one(INSERT_INVITATION, values, |row| row.get::<i64>(0))?;
        let invitation = tx.one(INVITATION_BY_ID, values![self.now, id], Invitation::from_row)?;
        note(tx, &self.audit, &invitation, ("invitation.created", json!({ "role": self.role.as_str() })))?;
        Ok(invitation)
    }
}

/// The organization's status, and the role of a user in it.
fn standing(tx: &mut ReadTx<'_>, user_id: i64, org_id: i64) -> Result<(String, Option<Role>), StoreError> {
    tx.one(INVITER_STANDING, values![user_id, org_id], |row| {
        let role = row.get::<Option<String>>(1)?.map(|role| Role::from_column(&role)).transpose()?;
        Ok((row.get(0)?, role))
    })
}

fn note(
    tx: &mut WriteTx<'_>,
    context: &AuditContext,
    invitation: &Invitation,
    (action, metadata): (&'static str, Json),
) -> Result<(), StoreError> {
    let target = ("invitation", invitation.public_id.as_str());
    audit::append(tx, context, &Happened { org_id: invitation.org_id, action, target, metadata })
}

/// Why an invitation could not be answered. It stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerRefusal {
    /// No invitation has this token.
    Unknown,
    /// The account's verified address is not the invited one.
    WrongAccount,
    /// It expired.
    Expired,
    /// It was answered or cancelled before; its status.
    Decided(String),
    /// The organization is not active; its status.
    OrganizationNotActive(String),
    /// Who invited may not invite any more.
    InviterLostRights,
    /// The account is a member already.
    AlreadyMember,
    /// The team is full; how many it may have.
    TeamFull(i64),
}

type Answered<T> = Result<T, OpError<AnswerRefusal>>;

/// The pending invitation behind a token, if `user_id` is who it invites; and that user's public id.
fn for_invitee(
    tx: &mut WriteTx<'_>,
    token: &InvitationToken,
    user_id: i64,
    now: Millis,
) -> Answered<(Invitation, String)> {
    let refuse = |reason| Err(OpError::Refused(reason));
    let Some(invitation) = by_token(tx, token, now)? else { return refuse(AnswerRefusal::Unknown) };
    let account = tx.optional(INVITEE_ACCOUNT, values![user_id, PLATFORM_ORG_ID], |row| {
        Ok((row.get::<Option<String>>(0)?, row.get::<String>(1)?))
    })?;
    // `users.email` holds proved addresses only.
    let Some((_, user_public_id)) = account.filter(|(email, _)| *email == Some(invitation.email.clone()))
    else {
        return refuse(AnswerRefusal::WrongAccount);
    };
    match invitation.status.as_str() {
        "pending" => Ok((invitation, user_public_id)),
        "expired" => refuse(AnswerRefusal::Expired),
        _ => refuse(AnswerRefusal::Decided(invitation.status)),
    }
}

/// The invitee acts, whoever the request could name.
fn by_invitee(context: &AuditContext, user_public_id: &str) -> AuditContext {
    AuditContext { actor_user_id: Some(user_public_id.to_owned()), ..context.clone() }
}

fn decide(tx: &mut WriteTx<'_>, id: i64, status: &str, now: Millis) -> Answered<()> {
    match tx.execute(DECIDE_INVITATION, values![status, now, id])? {
        1 => Ok(()),
        _ => Err(OpError::Refused(AnswerRefusal::Decided(status.to_owned()))),
    }
}

/// Accepts: the account becomes a member.
#[derive(Debug, Clone)]
pub struct AcceptInvitation {
    /// The token.
    pub token: InvitationToken,
    /// Row id of the account, a user of the platform realm.
    pub user_id: i64,
    /// UUID of the membership to be.
    pub membership_public_id: String,
    /// The present moment.
    pub now: Millis,
    /// Who, from where.
    pub audit: AuditContext,
}

/// A membership that came of an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedInvitation {
    /// The invitation, accepted.
    pub invitation: Invitation,
    /// UUID of the membership.
    pub membership_public_id: String,
    /// Public id of the member.
    pub user_public_id: String,
}

impl WriteOp for AcceptInvitation {
    type Output = AcceptedInvitation;
    type Refused = AnswerRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Answered<AcceptedInvitation> {
        let refuse = |reason| Err(OpError::Refused(reason));
        let (invitation, user_public_id) = for_invitee(tx, &self.token, self.user_id, self.now)?;
        let org_id = invitation.org_id;
        let (status, inviter_role) = standing(tx, invitation.inviter_id, org_id)?;
        if status != "active" {
            return refuse(AnswerRefusal::OrganizationNotActive(status));
        }
        // An invitation is its inviter's word, and worth what that word is worth now.
        if inviter_role < Some(Role::Admin) {
            return refuse(AnswerRefusal::InviterLostRights);
        }
        if tx.optional(INVITEE_MEMBERSHIP, values![org_id, self.user_id], |row| row.get::<i64>(0))?.is_some()
        {
            return refuse(AnswerRefusal::AlreadyMember);
        }
        let (members, max) = tx.one(TEAM_AND_LIMIT, values![org_id], |row| {
            Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?))
        })?;
        if let Some(max) = max.filter(|max| members >= *max) {
            return refuse(AnswerRefusal::TeamFull(max));
        }
        decide(tx, invitation.id, "accepted", self.now)?;
        let role = invitation.role.as_str();
        let values = values![&self.membership_public_id, org_id, self.user_id, role, self.now];
        tx.execute(INSERT_INVITED_MEMBER, values)?;
        let metadata = json!({ "role": role, "user_id": user_public_id });
        let context = by_invitee(&self.audit, &user_public_id);
        note(tx, &context, &invitation, ("invitation.accepted", metadata))?;
        Ok(AcceptedInvitation {
            invitation: Invitation { status: "accepted".to_owned(), ..invitation },
            membership_public_id: self.membership_public_id.clone(),
            user_public_id,
        })
    }
}

/// Declines.
#[derive(Debug, Clone)]
pub struct DeclineInvitation {
    /// The token.
    pub token: InvitationToken,
    /// Row id of the account, a user of the platform realm.
    pub user_id: i64,
    /// The present moment.
    pub now: Millis,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for DeclineInvitation {
    type Output = Invitation;
    type Refused = AnswerRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Answered<Invitation> {
        let (invitation, user_public_id) = for_invitee(tx, &self.token, self.user_id, self.now)?;
        decide(tx, invitation.id, "declined", self.now)?;
        let context = by_invitee(&self.audit, &user_public_id);
        note(tx, &context, &invitation, ("invitation.declined", json!({})))?;
        Ok(Invitation { status: "declined".to_owned(), ..invitation })
    }
}

/// Why an invitation was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelRefusal {
    /// The organization has no such invitation.
    NotFound,
    /// The caller may not cancel any more.
    NotAllowed,
    /// It is not pending; its status.
    Decided(String),
}

/// Cancels a pending invitation.
#[derive(Debug, Clone)]
pub struct CancelInvitation {
    /// Row id of the organization.
    pub org_id: i64,
    /// Public id of the invitation.
    pub public_id: String,
    /// Row id of the user who cancels.
    pub user_id: i64,
    /// The present moment.
    pub now: Millis,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for CancelInvitation {
    type Output = ();
    type Refused = CancelRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<CancelRefusal>> {
        let refuse = |reason| Err(OpError::Refused(reason));
        if standing(tx, self.user_id, self.org_id)?.1 < Some(Role::Admin) {
            return refuse(CancelRefusal::NotAllowed);
        }
        let values = values![self.now, &self.public_id, self.org_id];
        let Some(invitation) = tx.optional(INVITATION_BY_PUBLIC_ID, values, Invitation::from_row)? else {
            return refuse(CancelRefusal::NotFound);
        };
        if invitation.status != "pending" {
            return refuse(CancelRefusal::Decided(invitation.status));
        }
        tx.execute(DECIDE_INVITATION, values!["cancelled", self.now, invitation.id])?;
        note(tx, &self.audit, &invitation, ("invitation.cancelled", json!({})))?;
        Ok(())
    }
}

/// An organization's invitations, newest first.
#[derive(Debug, Clone)]
pub struct OrganizationInvitations {
    /// Row id of the organization.
    pub org_id: i64,
    /// Only those with this status.
    pub status: Option<String>,
    /// The present moment.
    pub now: Millis,
    /// The most rows to return.
    pub limit: i64,
    /// Rows to skip.
    pub offset: i64,
}

impl ReadOp for OrganizationInvitations {
    type Output = Vec<Invitation>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.now, self.org_id, &self.status, self.limit, self.offset];
        tx.all(INVITATIONS_OF_ORGANIZATION, values, Invitation::from_row)
    }
}

/// Pending invitations to active organizations for an address, newest first.
#[derive(Debug, Clone)]
pub struct InvitationsForEmail {
    /// The address, proved and normalized.
    pub email: String,
    /// The present moment.
    pub now: Millis,
    /// The most rows to return.
    pub limit: i64,
    /// Rows to skip.
    pub offset: i64,
}

impl ReadOp for InvitationsForEmail {
    type Output = Vec<Invitation>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let values = values![self.now, &self.email, self.limit, self.offset];
        tx.all(INVITATIONS_FOR_EMAIL, values, Invitation::from_row)
    }
}

/// The invitation behind a token, whatever became of it.
#[derive(Debug, Clone, Copy)]
pub struct InvitationByToken {
    /// The token.
    pub token: InvitationToken,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for InvitationByToken {
    type Output = Option<Invitation>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        by_token(tx, &self.token, self.now)
    }
}

/// The invitation that a browser is about to answer, and the address of the account that it signed in with.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedInvitation {
    /// The token.
    pub token: InvitationToken,
    /// Row id of the account.
    pub user_id: i64,
    /// The present moment.
    pub now: Millis,
}

impl ReadOp for ClaimedInvitation {
    type Output = Option<(Invitation, Option<String>)>;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<Self::Output, StoreError> {
        let Some(invitation) = by_token(tx, &self.token, self.now)? else { return Ok(None) };
        let values = values![self.user_id, PLATFORM_ORG_ID];
        let account = tx.optional(INVITEE_ACCOUNT, values, |row| row.get::<Option<String>>(0))?;
        Ok(account.map(|email| (invitation, email)))
    }
}
