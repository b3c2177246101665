//! Bodies of invitations.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::invitation_answers::AcceptedInvitation;
use gatehouse_actors::data::invitations::Invitation;
use gatehouse_actors::data::sessions::Subject;
use serde::Serialize;

use crate::state::rfc3339;

/// An invitation. Two spellings of address and inviter, because both kinds of client exist. Never the token.
#[derive(Debug, Serialize)]
pub(super) struct InvitationBody {
    id: String,
    org_id: String,
    email: String,
    invitee_email: String,
    role: &'static str,
    invited_by: String,
    inviter_user_id: String,
    inviter_email: Option<String>,
    organization_slug: String,
    organization_name: String,
    status: String,
    expires_at: String,
    created_at: String,
}

impl From<Invitation> for InvitationBody {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.public_id,
            org_id: invitation.org_public_id,
            email: invitation.email.clone(),
            invitee_email: invitation.email,
            role: invitation.role.as_str(),
            invited_by: invitation.inviter_public_id.clone(),
            inviter_user_id: invitation.inviter_public_id,
            inviter_email: invitation.inviter_email,
            organization_slug: invitation.org_slug,
            organization_name: invitation.org_name,
            status: invitation.status,
            expires_at: rfc3339(invitation.expires_at),
            created_at: rfc3339(invitation.created_at),
        }
    }
}

/// Who invites.
#[derive(Serialize)]
pub(super) struct Inviter {
    id: String,
    email: Option<String>,
    name: Option<String>,
    avatar_url: Option<String>,
    created_at: String,
}

impl From<&Subject> for Inviter {
    fn from(subject: &Subject) -> Self {
        Self {
            id: subject.user_public_id.clone(),
            email: subject.email.clone(),
            name: subject.name.clone(),
            avatar_url: subject.avatar_url.clone(),
            created_at: rfc3339(subject.user_created_at),
        }
    }
}

/// The one answer that shows a token.
#[derive(Serialize)]
pub(super) struct Created {
    pub(super) invitation: InvitationBody,
    pub(super) inviter: Inviter,
    pub(super) token: String,
    pub(super) accept_url: String,
    /// Whether the link is also on its way by mail.
    pub(super) mail_queued: bool,
}

#[derive(Serialize)]
struct MembershipBody {
    id: String,
    org_id: String,
    user_id: String,
    role: &'static str,
    created_at: String,
}

/// What accepting led to.
#[derive(Serialize)]
pub(super) struct Accepted {
    membership: MembershipBody,
    invitation: InvitationBody,
}

impl Accepted {
    pub(super) fn new(accepted: AcceptedInvitation, now: Millis) -> Self {
        let AcceptedInvitation { invitation, membership_public_id, user_public_id } = accepted;
        let membership = MembershipBody {
            id: membership_public_id,
            org_id: invitation.org_public_id.clone(),
            user_id: user_public_id,
            role: invitation.role.as_str(),
            created_at: rfc3339(now),
        };
        Self { membership, invitation: invitation.into() }
    }
}
