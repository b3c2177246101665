//! Answers to invitations: accepting and declining, by the account whose proved address is invited.

use serde_json::json;

use super::PLATFORM_ORG_ID;
use super::audit::AuditContext;
use super::invitations::{self, Invitation, InvitationToken, by_token, note, standing};
use super::memberships::Role;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    INVITEE_ACCOUNT = "SELECT email, public_id FROM users WHERE id = $1 AND org_id = $2";
    TEAM_AND_LIMIT = "SELECT COUNT(m.id), COALESCE(o.max_users, t.default_max_users) FROM organizations o \
        JOIN tiers t ON t.id = o.tier_id LEFT JOIN memberships m ON m.org_id = o.id WHERE o.id = $1 \
        GROUP BY o.id, o.max_users, t.default_max_users";
    INVITEE_MEMBERSHIP = "SELECT id FROM memberships WHERE org_id = $1 AND user_id = $2";
    INSERT_INVITED_MEMBER = "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
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

/// Leaves `pending`, if nobody was faster.
fn decide(tx: &mut WriteTx<'_>, id: i64, status: &str, now: Millis) -> Answered<()> {
    if invitations::decide(tx, id, status, now)? {
        return Ok(());
    }
    Err(OpError::Refused(AnswerRefusal::Decided(status.to_owned())))
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
        let metadata = json!({
            "before": { "status": "pending" },
            "after": { "status": "accepted" },
            "role": role,
            "user_id": user_public_id,
        });
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
        let metadata = json!({ "before": { "status": "pending" }, "after": { "status": "declined" } });
        note(tx, &context, &invitation, ("invitation.declined", metadata))?;
        Ok(Invitation { status: "declined".to_owned(), ..invitation })
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
