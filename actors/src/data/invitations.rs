//! Invitations: who may become a member of an organization by proving an e-mail address.
//!
//! ```text
//! CreateInvitation -> pending --AcceptInvitation--> accepted (and a membership, in one transaction)
//!                             --DeclineInvitation-> declined
//!                             --CancelInvitation--> cancelled
//! ```
//! The invitee's side, accepting and declining, is in `invitation_answers`.

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
pub(super) fn by_token(
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
pub(super) fn standing(
    tx: &mut ReadTx<'_>,
    user_id: i64,
    org_id: i64,
) -> Result<(String, Option<Role>), StoreError> {
    tx.one(INVITER_STANDING, values![user_id, org_id], |row| {
        let role = row.get::<Option<String>>(1)?.map(|role| Role::from_column(&role)).transpose()?;
        Ok((row.get(0)?, role))
    })
}

/// Leaves `pending`. False when it was left before.
pub(super) fn decide(tx: &mut WriteTx<'_>, id: i64, status: &str, now: Millis) -> Result<bool, StoreError> {
    Ok(tx.execute(DECIDE_INVITATION, values![status, now, id])? == 1)
}

/// Appends the entry of a change.
pub(super) fn note(
    tx: &mut WriteTx<'_>,
    context: &AuditContext,
    invitation: &Invitation,
    (action, metadata): (&'static str, Json),
) -> Result<(), StoreError> {
    let target = ("invitation", invitation.public_id.as_str());
    audit::append(tx, context, &Happened { org_id: invitation.org_id, action, target, metadata })
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
        decide(tx, invitation.id, "cancelled", self.now)?;
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
