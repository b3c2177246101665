//! What the API document says about this slice.

use crate::error::Code;
use crate::openapi::document::Chapter;
use crate::openapi::objects::{ROLES, membership, user};
use crate::openapi::operation::{Operation, delete, get, patch, post};
use crate::openapi::shape::{Shape, count, email, list, object, time, uuid, word};

/// The team of an organization.
#[must_use]
pub fn chapter() -> Chapter {
    const MEMBER: &str = "/api/organizations/{org}/members/{user_id}";
    let operations = vec![
        get("/api/organizations/{org}/members", "listMembers", "List the members of an organization")
            .query("role", word(&ROLES).about("Only those with this role."))
            .paged()
            .ok("A page of them, and how many the organization may have.", members()),
        patch(MEMBER, "changeRole", "Change the role of a member")
            .about("`owner` hands the organization over: the caller becomes an admin.")
            .json(object([("role", word(&["admin", "member", "owner"]))]))
            .ok("The member.", member()),
        removal(post(MEMBER, "removeMemberByPost", "Remove a member, for clients without DELETE")),
        removal(delete(MEMBER, "removeMember", "Remove a member, or leave")),
        transfer(post(
            "/api/organizations/{org}/transfer-ownership",
            "transferOwnership",
            "Hand an organization over",
        )),
        transfer(post(
            "/api/organizations/{org}/members/transfer-ownership",
            "transferOwnershipByMembers",
            "Hand an organization over, at its other address",
        )),
    ];
    Chapter { tag: "Members", about: "Who manages an organization, in which role.", operations }
}

fn removal(operation: Operation) -> Operation {
    operation
        .about(
            "Everybody may leave but the owner; an admin removes members, the owner everybody else. An organization \
             that was registered for the caller is given back by leaving it.",
        )
        .empty(204, "Gone.")
}

fn transfer(operation: Operation) -> Operation {
    operation
        .about("To a member, named by one of the two. The caller becomes an admin.")
        .json(
            object([
                ("new_owner_user_id", uuid().or_null().optional()),
                ("new_owner_email", email().at_most(254).or_null().optional()),
            ])
            .example_without(&["new_owner_email"]),
        )
        .ok("The new owner.", member())
        .refuses(&[Code::BadRequest])
}

fn member() -> Shape {
    object([
        ("user_id", uuid()),
        ("email", email().or_null()),
        ("role", word(&ROLES)),
        ("joined_at", time()),
        ("membership", membership()),
        ("user", user()),
    ])
    .named("Member")
}

fn members() -> Shape {
    let limit = object([
        ("current", count(4)),
        ("max", count(10).or_null().about("Null: unlimited.")),
        ("source", word(&["tier", "override"])),
    ]);
    object([("members", list(member())), ("total", count(4)), ("limit", limit)]).named("Members")
}
