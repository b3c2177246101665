//! Administrators and the organizations that they register.

use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::organizations::{FirstOwner, RegisterOrganization, Registered};

use super::{World, code_for, person, platform, public_id};

/// A user of the platform realm.
#[derive(Debug, Clone)]
pub(crate) struct Administrator {
    pub(crate) user_id: i64,
    pub(crate) public_id: String,
}

/// Signs `name`@example.com in to the platform realm.
pub(crate) async fn administrator(world: &World, name: &str) -> Administrator {
    let platform = platform(world).await;
    code_for(world, &platform, person(world, platform.org_id, name)).await;
    let of = |column| format!("SELECT {column} FROM users WHERE org_id = 1 AND email = '{name}@example.com'");
    Administrator { user_id: world.number(&of("id")), public_id: world.text(&of("public_id")).unwrap() }
}

/// A fresh audit context: one makes one entry.
pub(crate) fn audit(world: &World) -> AuditContext {
    AuditContext {
        entry_public_id: public_id(),
        actor_user_id: None,
        ip_address: "203.0.113.7".to_owned(),
        user_agent: "tests".to_owned(),
        now: world.now(),
    }
}

/// An organization registered by a user.
pub(crate) async fn registered(world: &World, slug: &str, user_id: i64) -> Registered {
    let register = RegisterOrganization {
        public_id: public_id(),
        slug: slug.to_owned(),
        name: format!("Organization {slug}"),
        owner: FirstOwner::User { user_id, membership_public_id: public_id() },
        audit: audit(world),
    };
    world.store.write(register).await.unwrap()
}

/// Puts a user into a team behind the actors' back.
pub(crate) fn join(world: &World, org_id: i64, user_id: i64, role: &str) {
    world.execute(&format!(
        "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) \
         VALUES ('{}', {org_id}, {user_id}, '{role}', 0)",
        public_id()
    ));
}
