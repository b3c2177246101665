//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{membership, user};
use crate::openapi::operation::{Operation, delete, get, post};
use crate::openapi::shape::{Shape, email, flag, list, object, text, time, uri, uuid, word};

/// Invitations to an organization's team.
#[must_use]
pub fn chapter() -> Chapter {
    const ALL: &str = "/api/organizations/{org}/invitations";
    const ONE: &str = "/api/organizations/{org}/invitations/{invitation}";
    let states = ["pending", "accepted", "declined", "cancelled", "expired"];
    let operations = vec![
        get(ALL, "listInvitations", "List the invitations of an organization")
            .query("status", word(&states).about("Only those in this state."))
            .paged()
            .ok("The newest first.", list(invitation())),
        post(ALL, "createInvitation", "Invite somebody")
            .about(
                "The token is in this answer only, and in the mail if mail is configured. It lives 7 days.",
            )
            .json(
                object([
                    ("email", email().at_most(254).or_null().optional()),
                    (
                        "invitee_email",
                        email().at_most(254).or_null().optional().about("The same as `email`."),
                    ),
                    ("role", word(&["member", "admin"])),
                ])
                .example_without(&["invitee_email"]),
            )
            .created("Invited.", created())
            .refuses(&[Code::Conflict]),
        cancel(post(ONE, "cancelInvitationByPost", "Cancel an invitation, for clients without DELETE")),
        cancel(delete(ONE, "cancelInvitation", "Cancel an invitation")),
        get("/api/invitations", "listMyInvitations", "List the invitations to you")
            .paged()
            .ok("Pending ones for the caller's proved address.", list(invitation())),
        answered(post("/api/invitations/accept", "acceptInvitation", "Accept an invitation"))
            .ok("The caller is a member now.", accepted())
            .refuses(&[Code::TeamLimitExceeded, Code::OrganizationNotActive]),
        answered(post("/api/invitations/decline", "declineInvitation", "Decline an invitation"))
            .empty(204, "Declined."),
        get("/invitations/accept", "showInvitation", "The page that a mail links to")
            .needs("token", text("the token of the mail"))
            .page("Who invites whom, and the ways to sign in.")
            .refuses(&[Code::NotFound, Code::InvitationExpired, Code::Conflict, Code::OrganizationNotActive]),
        get("/invitations/confirm", "confirmInvitation", "The page that asks whether to join")
            .page("The question, or that another account was invited.")
            .refuses(&[Code::NotFound, Code::InvitationExpired, Code::Conflict, Code::OrganizationNotActive]),
        post("/invitations/confirm", "decideInvitation", "The answer of that page")
            .form(object([("csrf", text("from the page")), ("decision", word(&["accept", "decline"]))]))
            .page("What became of it.")
            .refuses(&[
                Code::Forbidden,
                Code::NotFound,
                Code::InvitationExpired,
                Code::Conflict,
                Code::TeamLimitExceeded,
                Code::OrganizationNotActive,
            ]),
    ];
    Chapter { tag: "Invitations", about: "How somebody joins an organization's team.", operations }
}

fn cancel(operation: Operation) -> Operation {
    operation.optional_json(object([])).empty(204, "Cancelled.").refuses(&[Code::Conflict])
}

fn answered(operation: Operation) -> Operation {
    operation.json(object([("token", text("the token of the mail").at_most(200))])).refuses(&[
        Code::NotFound,
        Code::Forbidden,
        Code::InvitationExpired,
        Code::Conflict,
    ])
}

fn invitation() -> Shape {
    object([
        ("id", uuid()),
        ("org_id", uuid()),
        ("email", email()),
        ("invitee_email", email()),
        ("role", word(&["member", "admin"])),
        ("invited_by", uuid()),
        ("inviter_user_id", uuid()),
        ("inviter_email", email().or_null()),
        ("organization_slug", text("acme")),
        ("organization_name", text("Acme")),
        ("status", word(&["pending", "accepted", "declined", "cancelled", "expired"])),
        ("expires_at", time()),
        ("created_at", time()),
    ])
    .named("Invitation")
}

fn created() -> Shape {
    object([
        ("invitation", invitation()),
        ("inviter", user()),
        ("token", text("the token of the mail")),
        (
            "accept_url",
            uri("https://id.example.com/invitations/accept?token=…")
                .such_as("https://id.example.com/invitations/accept"),
        ),
        ("mail_queued", flag(true).about("Whether a mail goes out.")),
    ])
    .named("CreatedInvitation")
}

fn accepted() -> Shape {
    object([("membership", membership()), ("invitation", invitation())]).named("AcceptedInvitation")
}
