//! A user's own sessions: listed, ended one by one or all others at once, and when they were last used.

use gatehouse_actors::data::authorization_codes::CodeRefusal;
use gatehouse_actors::data::own_sessions::{
    EndOtherSessions, EndOwnSession, NoSuchSession, OwnSession, OwnSessions, SessionOwner, SessionsUsed,
};
use gatehouse_actors::data::sessions::{SessionByPublicId, Subject};

use crate::support::{Arrived, Tenant, World, audit, code_for, person, redeem_code, refusal, tenant};

async fn redeemed(world: &World, acme: &Tenant, arrived: &Arrived) -> Subject {
    let redeem = redeem_code(world, &acme.web, arrived);
    let question = SessionByPublicId { public_id: redeem.session.public_id.clone() };
    world.store.write(redeem).await.unwrap();
    world.store.read(question).await.unwrap().unwrap()
}

async fn session(world: &World, acme: &Tenant, name: &str) -> Subject {
    let arrived = code_for(world, &acme.web, person(world, acme.org_id, name)).await;
    redeemed(world, acme, &arrived).await
}

fn owner(subject: &Subject) -> SessionOwner {
    SessionOwner { user_id: subject.user_id, org_id: subject.org_id }
}

async fn list(world: &World, subject: &Subject) -> Vec<OwnSession> {
    let question = OwnSessions { owner: owner(subject), limit: 10, offset: 0, now: world.now() };
    let (sessions, total) = world.store.read(question).await.unwrap();
    assert_eq!(i64::try_from(sessions.len()).unwrap(), total);
    sessions
}

fn ids(sessions: &[OwnSession]) -> Vec<&str> {
    sessions.iter().map(|session| session.public_id.as_str()).collect()
}

async fn end(world: &World, subject: &Subject, public_id: &str) -> Result<(), NoSuchSession> {
    let end = EndOwnSession { owner: owner(subject), public_id: public_id.to_owned(), audit: audit(world) };
    let answer = world.store.write(end).await;
    if answer.is_ok() { Ok(()) } else { Err(refusal(answer)) }
}

#[actix::test]
async fn a_user_sees_live_sessions_of_its_own_newest_first() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let first = session(&world, &acme, "ann").await;
    session(&world, &acme, "bob").await;
    session(&world, &other, "ann").await;
    let second = session(&world, &acme, "ann").await;
    let sessions = list(&world, &first).await;
    assert_eq!(ids(&sessions), [&second.session_public_id, &first.session_public_id]);
    let seen = &sessions[0];
    assert_eq!((seen.user_agent.as_str(), seen.ip_address.as_str()), ("Browser/1", "198.51.100.9"));
    assert_eq!((seen.method.as_str(), seen.last_used_at), ("web", None));
    let question = OwnSessions { owner: owner(&first), limit: 1, offset: 1, now: world.now() };
    let (page, total) = world.store.read(question).await.unwrap();
    assert_eq!((ids(&page), total), (vec![first.session_public_id.as_str()], 2));
    world.stop().await;
}

#[actix::test]
async fn ending_one_is_noted_once_and_foreign_ones_are_missing() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let (ann, again) = (session(&world, &acme, "ann").await, session(&world, &acme, "ann").await);
    let bob = session(&world, &acme, "bob").await;
    for missing in [bob.session_public_id.as_str(), "no-such-session", ""] {
        assert_eq!(end(&world, &ann, missing).await, Err(NoSuchSession), "{missing}");
    }
    assert_eq!(end(&world, &ann, &again.session_public_id).await, Ok(()));
    assert_eq!(end(&world, &ann, &again.session_public_id).await, Err(NoSuchSession));
    assert_eq!(ids(&list(&world, &ann).await), [&ann.session_public_id]);
    assert_eq!(list(&world, &bob).await.len(), 1);
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'session.ended'"), 1);
    world.stop().await;
}

#[actix::test]
async fn ending_all_others_keeps_one_and_voids_codes_under_way() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let kept = session(&world, &acme, "ann").await;
    session(&world, &acme, "ann").await;
    session(&world, &acme, "ann").await;
    let bob = session(&world, &acme, "bob").await;
    let under_way = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    world.clock.advance(1);
    let end_others = || EndOtherSessions {
        owner: owner(&kept),
        user_public_id: kept.user_public_id.clone(),
        kept: kept.session_id,
        audit: audit(&world),
    };
    assert_eq!(world.store.write(end_others()).await.unwrap(), 2);
    assert_eq!(world.store.write(end_others()).await.unwrap(), 0);
    assert_eq!(ids(&list(&world, &kept).await), [&kept.session_public_id]);
    assert_eq!(list(&world, &bob).await.len(), 1);
    let browsers = "SELECT COUNT(*) FROM browser_sessions WHERE ended_at IS NULL";
    assert_eq!(world.number(browsers), 2, "the kept one's browser, and bob's");
    let late = world.store.write(redeem_code(&world, &acme.web, &under_way)).await;
    assert_eq!(refusal(late), CodeRefusal::SignedOut);
    let entries = "SELECT COUNT(*) FROM audit_log WHERE action = 'user.other_sessions_ended'";
    assert_eq!(world.number(entries), 1, "no entry without a change");
    assert!(session(&world, &acme, "ann").await.is_live(world.now()), "who signs in again is in");
    world.stop().await;
}

#[actix::test]
async fn the_last_use_only_moves_on() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let ann = session(&world, &acme, "ann").await;
    for used in [vec![(ann.session_id, 500)], vec![(ann.session_id, 400), (999, 1)], Vec::new()] {
        world.store.write(SessionsUsed { used }).await.unwrap();
        assert_eq!(list(&world, &ann).await[0].last_used_at, Some(500));
    }
    world.stop().await;
}
