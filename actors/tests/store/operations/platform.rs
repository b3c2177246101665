//! Platform governance: the state machine, what a suspension ends, owners, and the proof of the audit chains.

use futures_util::future::join_all;
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::audit_log::{AuditEntries, AuditFilter, ChainReport, every_chain, prove_chain};
use gatehouse_actors::data::platform::{Decide, Decision, DecisionRefusal, GovernedOrganizations};
use gatehouse_actors::data::platform_owners::{DemotePlatformOwner, OwnerRefusal};
use gatehouse_actors::engine::ReadOnly;

use crate::support::{
    World, code_for, issue_device_code, person, platform, public_id, redeem_code, refusal, tenant,
};

fn context(world: &World) -> AuditContext {
    AuditContext {
        entry_public_id: public_id(),
        actor_user_id: None,
        ip_address: "203.0.113.7".to_owned(),
        user_agent: "test".to_owned(),
        now: world.now(),
    }
}

/// A decision has somebody who took it: what has no actor was done by billing itself.
fn by(actor: &str, world: &World) -> AuditContext {
    AuditContext { actor_user_id: Some(actor.to_owned()), ..context(world) }
}

fn decide(world: &World, decided_by: i64, decision: Decision) -> Decide {
    Decide {
        reference: "acme".to_owned(),
        decision,
        decided_by,
        audit: by("root", world),
        audit_of_organization: by("root", world),
    }
}

/// A platform owner: row id and public id.
async fn owner(world: &World, name: &str) -> (i64, String) {
    let arrival = person(world, PLATFORM_ORG_ID, name);
    let public_id = arrival.new_user_public_id.clone();
    code_for(world, &platform(world).await, arrival).await;
    world.execute(&format!("UPDATE users SET is_platform_owner = 1 WHERE public_id = '{public_id}'"));
    (world.number(&format!("SELECT id FROM users WHERE public_id = '{public_id}'")), public_id)
}

fn decisions() -> [Decision; 4] {
    [
        Decision::Approve { tier_id: None },
        Decision::Reject { reason: "no".to_owned() },
        Decision::Suspend { reason: None },
        Decision::Activate,
    ]
}

#[actix::test]
async fn only_the_transitions_of_the_state_machine_happen() {
    let world = World::new();
    tenant(&world, "acme").await;
    let (root, _) = owner(&world, "root").await;
    let allowed = [
        ("pending", 0, "active"),
        ("pending", 1, "rejected"),
        ("active", 2, "suspended"),
        ("suspended", 3, "active"),
    ];
    for state in ["pending", "active", "suspended", "rejected"] {
        for (index, decision) in decisions().into_iter().enumerate() {
            world.execute(&format!("UPDATE organizations SET status = '{state}' WHERE slug = 'acme'"));
            let entries = world.number("SELECT COUNT(*) FROM audit_log");
            let answer = world.store.write(decide(&world, root, decision)).await;
            let allowed = allowed.iter().find(|(from, number, _)| (*from, *number) == (state, index));
            if let Some((_, _, to)) = allowed {
                assert_eq!(answer.unwrap().organization.organization.status, *to);
                assert_eq!(world.number("SELECT COUNT(*) FROM audit_log"), entries + 2);
            } else {
                assert_eq!(refusal(answer), DecisionRefusal::WrongState(state.to_owned()));
                assert_eq!(world.number("SELECT COUNT(*) FROM audit_log"), entries);
            }
        }
    }
    world.stop().await;
}

#[actix::test]
async fn ten_approvals_at_once_are_one_change() {
    let world = World::new();
    tenant(&world, "acme").await;
    let (root, _) = owner(&world, "root").await;
    world.execute("UPDATE organizations SET status = 'pending' WHERE slug = 'acme'");
    let approve = || world.store.write(decide(&world, root, Decision::Approve { tier_id: None }));
    let answers = join_all((0..10).map(|_| approve())).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log WHERE org_id = 1"), 1);
    world.stop().await;
}

#[actix::test]
async fn a_suspension_ends_sessions_and_codes_and_tells_how_many() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let (root, _) = owner(&world, "root").await;
    let used = code_for(&world, &acme.web, person(&world, acme.org_id, "ada")).await;
    world.store.write(redeem_code(&world, &acme.web, &used)).await.unwrap();
    code_for(&world, &acme.web, person(&world, acme.org_id, "bob")).await;
    issue_device_code(&world, &acme.terminal).await.unwrap();
    let suspend = decide(&world, root, Decision::Suspend { reason: Some("unpaid".to_owned()) });
    let revoked = world.store.write(suspend).await.unwrap().revoked.unwrap();
    assert_eq!((revoked.sessions, revoked.device_codes, revoked.authorization_codes), (1, 1, 1));
    world.store.write(decide(&world, root, Decision::Activate)).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL"), 0);
    assert_eq!(world.number("SELECT COUNT(*) FROM device_codes WHERE status <> 'denied'"), 0);
    world.stop().await;
}

#[actix::test]
async fn owners_who_demote_each_other_leave_one() {
    let world = World::new();
    let (first, second) = (owner(&world, "first").await, owner(&world, "second").await);
    let demote = |by: i64, whom: &str| {
        let op =
            DemotePlatformOwner { user_public_id: whom.to_owned(), demoted_by: by, audit: context(&world) };
        world.store.write(op)
    };
    assert_eq!(refusal(demote(first.0, &first.1).await), OwnerRefusal::Oneself);
    for _ in 0..100 {
        let (one, other) = futures_util::join!(demote(first.0, &second.1), demote(second.0, &first.1));
        assert_ne!(one.is_ok(), other.is_ok());
        assert_eq!(world.number("SELECT COUNT(*) FROM users WHERE is_platform_owner"), 1);
        world.execute("UPDATE users SET is_platform_owner = 1 WHERE org_id = 1");
    }
    world.stop().await;
}

#[actix::test]
async fn search_is_literal() {
    let world = World::new();
    tenant(&world, "acme").await;
    let total = async |search: &str| {
        let search = Some(search.to_owned());
        let question = GovernedOrganizations { status: None, tier_id: None, search, limit: 10, offset: 0 };
        world.store.read(question).await.unwrap().1
    };
    for (text, found) in
        [("ACM", 1), ("organization a", 1), ("%", 0), ("_", 0), ("a_me", 0), ("!", 0), ("'", 0)]
    {
        assert_eq!(total(text).await, found, "{text}");
    }
    world.stop().await;
}

fn proof(world: &World, expected: &[[u8; 32]]) -> ChainReport {
    let mut database = ReadOnly::open(&world.path()).unwrap();
    let chains = every_chain(|question| database.ask(question)).unwrap();
    let acme = chains.into_iter().find(|(_, slug)| slug == "acme").unwrap();
    prove_chain(|question| database.ask(question), acme, expected).unwrap()
}

#[actix::test]
async fn the_proof_names_the_place_of_whatever_was_done_to_a_chain() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let (root, _) = owner(&world, "root").await;
    for _ in 0..2 {
        world.store.write(decide(&world, root, Decision::Suspend { reason: None })).await.unwrap();
        world.store.write(decide(&world, root, Decision::Activate)).await.unwrap();
    }
    let filter = AuditFilter { action: Some("organization.suspended".to_owned()), ..AuditFilter::default() };
    let of = |org_id| AuditEntries { org_id, filter: filter.clone(), limit: 1, offset: 0 };
    assert_eq!(world.store.read(of(Some(acme.org_id))).await.unwrap().1, 2);
    // Whoever reads every chain reads a decision once, though it stands in two.
    assert_eq!(world.store.read(of(None)).await.unwrap().1, 2);

    let whole = proof(&world, &[]);
    assert_eq!((whole.entries, &whole.broken), (4, &None));
    world.execute(
        "DROP TRIGGER audit_log_is_append_only_update; DROP TRIGGER audit_log_is_append_only_delete",
    );
    world.execute("DELETE FROM audit_log WHERE org_id <> 1 AND sequence = 4");
    let cut = proof(&world, &[whole.head]);
    assert_eq!((cut.entries, &cut.broken, cut.heads_missing), (3, &None, 1));
    world.execute("UPDATE audit_log SET action = 'x' WHERE org_id <> 1 AND sequence = 2");
    assert_eq!(proof(&world, &[]).broken.as_deref(), Some("entry 2 was changed"));
    world.execute("DELETE FROM audit_log WHERE org_id <> 1 AND sequence = 1");
    assert_eq!(proof(&world, &[]).broken.as_deref(), Some("entry 1 is missing, entry 2 follows"));
    world.stop().await;
}
