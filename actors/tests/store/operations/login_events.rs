//! Login events: what is recorded of whom, how many failures are kept, what an erasure leaves.

use gatehouse_actors::data::authorization_codes::{CodeRedemption, CodeRefusal};
use gatehouse_actors::data::device_codes::DecideDeviceCode;
use gatehouse_actors::data::device_redemption::{DeviceRedemption, RedeemDeviceCode};
use gatehouse_actors::data::end_users::{EraseUser, RevokeUserSessions};
use gatehouse_actors::data::login_events::{
    KEPT_PER_DAY, KEPT_PER_MINUTE, NoteFailedSignIn, NoteRefusedCode, SeenFrom,
};
use gatehouse_actors::data::refresh_tokens::RotateRefreshToken;
use gatehouse_actors::data::token_binding::TokenBinding;

use crate::support::{
    Tenant, World, audit, code_for, device_sign_in, hash, hash_of_secret, issue_device_code, new_session,
    person, public_id, redeem_code, refusal, tenant,
};

const MINUTE: i64 = 60 * 1000;
const DAY: i64 = 24 * 60 * MINUTE;

/// An event as it stands in the database, but for ids and times.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    public_id: String,
    user: Option<String>,
    service: String,
    what: (String, String, bool, Option<String>),
    place: (String, String),
}

fn events(world: &World) -> Vec<Event> {
    let connection = world.sql();
    let mut statement = connection
        .prepare(
            "SELECT e.public_id, u.public_id, s.client_id, e.provider, e.method, e.succeeded, e.reason, \
             e.ip_address, e.user_agent FROM login_events e JOIN services s ON s.id = e.service_id \
             AND s.org_id = e.org_id LEFT JOIN users u ON u.id = e.user_id ORDER BY e.id",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Event {
            public_id: row.get(0)?,
            user: row.get(1)?,
            service: row.get(2)?,
            what: (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?),
            place: (row.get(7)?, row.get(8)?),
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn what(method: &str, reason: Option<&str>) -> (String, String, bool, Option<String>) {
    ("google".to_owned(), method.to_owned(), reason.is_none(), reason.map(ToOwned::to_owned))
}

fn place(ip_address: &str, user_agent: &str) -> (String, String) {
    (ip_address.to_owned(), user_agent.to_owned())
}

fn failed(world: &World, acme: &Tenant) -> NoteFailedSignIn {
    NoteFailedSignIn {
        public_id: public_id(),
        org_id: acme.org_id,
        service_id: acme.web.id,
        provider: "google".to_owned(),
        method: "web",
        seen_from: SeenFrom { ip_address: "198.51.100.9".to_owned(), user_agent: "Browser/1".to_owned() },
        reason: "cancelled",
        now: world.now(),
    }
}

#[actix::test]
async fn a_web_sign_in_is_recorded_when_it_makes_its_session_and_a_refresh_is_not() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    assert_eq!(events(&world), [], "a code alone is no session");
    let redeem = redeem_code(&world, &acme.web, &arrived);
    let Ok(CodeRedemption::Granted { grant, .. }) = world.store.write(redeem.clone()).await else {
        panic!("not granted")
    };
    let expected = Event {
        public_id: grant.subject.session_public_id.clone(),
        user: Some(grant.subject.user_public_id.clone()),
        service: acme.web.client_id.clone(),
        what: what("web", None),
        place: place("198.51.100.9", "Browser/1"),
    };
    assert_eq!(events(&world), [expected]);

    let rotate = RotateRefreshToken {
        id: grant.refresh_token_id,
        secret_hash: redeem.session.refresh_hash,
        successor_hash: hash(),
        client_id: Some(acme.web.client_id.clone()),
        asked: TokenBinding::default(),
        requested_scope: None,
        now: world.now(),
        audit: audit(&world),
    };
    world.store.write(rotate).await.unwrap();
    assert_eq!(events(&world).len(), 1);
}

#[actix::test]
async fn a_terminal_is_recorded_where_the_terminal_is() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    for (approve, reason) in [(true, None), (false, Some("denied"))] {
        let issued = issue_device_code(&world, &acme.terminal).await.unwrap();
        let sign_in = device_sign_in(&acme.terminal, person(&world, acme.org_id, "ann"), issued.id);
        let user_id = world.store.write(sign_in).await.unwrap();
        let now = world.now();
        let decide = DecideDeviceCode { id: issued.id, user_id, approve, event_public_id: public_id(), now };
        world.store.write(decide).await.unwrap();
        let redeem = RedeemDeviceCode {
            id: issued.id,
            secret_hash: hash_of_secret(&issued.secret),
            client_id: acme.terminal.client_id.clone(),
            session: new_session(),
            now,
        };
        let redeemed = world.store.write(redeem.clone()).await;
        assert_eq!(redeemed.is_ok(), approve);
        let recorded = events(&world).pop().unwrap();
        assert_eq!(recorded.what, what("device", reason));
        assert_eq!(recorded.place, place("203.0.113.7", "gatehouse login"));
        assert!(recorded.user.is_some());
        if approve {
            assert_eq!(recorded.public_id, redeem.session.public_id);
            let again = RedeemDeviceCode { session: new_session(), ..redeem };
            assert_eq!(world.store.write(again).await.unwrap(), DeviceRedemption::Replayed);
            assert_eq!(events(&world).pop().unwrap().what, what("device", Some("code_replayed")));
        }
    }
    assert_eq!(events(&world).len(), 3);
}

#[actix::test]
async fn a_refused_code_is_noted_for_its_owner_and_only_for_who_has_the_code() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let mut wrong = redeem_code(&world, &acme.web, &arrived);
    wrong.code_challenge = None;
    assert_eq!(refusal(world.store.write(wrong).await), CodeRefusal::CodeVerifier);
    assert_eq!(events(&world), [], "a refusal leaves no trace by itself");
    let note = NoteRefusedCode {
        public_id: public_id(),
        code_id: arrived.code_id,
        secret_hash: arrived.secret_hash,
        reason: "code_verifier",
        now: world.now(),
    };
    world.store.write(NoteRefusedCode { secret_hash: hash(), ..note.clone() }).await.unwrap();
    world.store.write(NoteRefusedCode { code_id: 999, ..note.clone() }).await.unwrap();
    assert_eq!(events(&world), []);
    world.store.write(note).await.unwrap();
    world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
    let replay = redeem_code(&world, &acme.web, &arrived);
    assert_eq!(world.store.write(replay).await.unwrap(), CodeRedemption::Replayed);
    let recorded = events(&world);
    let reasons: Vec<_> = recorded.iter().map(|event| event.what.3.as_deref()).collect();
    assert_eq!(reasons, [Some("code_verifier"), None, Some("code_replayed")]);
    let user = world.text("SELECT public_id FROM users");
    assert!(recorded.iter().all(|event| event.user == user), "{recorded:?}");
}

#[actix::test]
async fn a_session_that_is_over_at_birth_is_no_success() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let user_public_id = world.text("SELECT public_id FROM users").unwrap();
    let revoke = RevokeUserSessions { org_id: acme.org_id, user_public_id, audit: audit(&world) };
    world.store.write(revoke).await.unwrap();
    // With the browser's session known the code would be refused before; this is the lock behind that one.
    world.execute("UPDATE authorization_codes SET browser_session_id = NULL");
    world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
    assert_eq!(events(&world).pop().unwrap().what, what("web", Some("signed_out")));
    assert_eq!(world.number("SELECT successes FROM login_days"), 0);
}

#[actix::test]
async fn failures_fill_the_minute_then_the_day_and_are_counted_all_the_same() {
    let world = World::new();
    let (acme, other) = (tenant(&world, "acme").await, tenant(&world, "other").await);
    let counts = || {
        let of =
            |column| world.number(&format!("SELECT {column} FROM login_days WHERE org_id = {}", acme.org_id));
        (of("failures"), of("dropped"))
    };
    for _ in 0..KEPT_PER_MINUTE + 5 {
        world.store.write(failed(&world, &acme)).await.unwrap();
    }
    assert_eq!(counts(), (KEPT_PER_MINUTE, 5));
    assert_eq!(world.number("SELECT COUNT(*) FROM login_events"), KEPT_PER_MINUTE);
    // Another organization has places of its own.
    world.store.write(failed(&world, &other)).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM login_events"), KEPT_PER_MINUTE + 1);

    world.clock.advance(MINUTE);
    world.store.write(failed(&world, &acme)).await.unwrap();
    assert_eq!(counts(), (KEPT_PER_MINUTE + 1, 5));
    world.execute(&format!("UPDATE login_days SET failures = {KEPT_PER_DAY}"));
    world.clock.advance(MINUTE);
    world.store.write(failed(&world, &acme)).await.unwrap();
    assert_eq!(counts(), (KEPT_PER_DAY, 6));
    assert_eq!(world.number("SELECT failures FROM platform_days WHERE failures > 0"), KEPT_PER_MINUTE + 8);

    world.clock.advance(DAY);
    world.store.write(failed(&world, &acme)).await.unwrap();
    assert_eq!(world.number("SELECT COUNT(*) FROM login_events"), KEPT_PER_MINUTE + 3);
}

#[actix::test]
async fn an_erased_user_leaves_events_without_a_place_and_every_count() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    for name in ["ann", "bob", "ann", "ann"] {
        world.clock.advance(DAY);
        let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, name)).await;
        world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
    }
    let counts = || {
        let days = "SELECT group_concat(day || ':' || successes || ':' || users) FROM login_days";
        (world.text(days), world.text("SELECT group_concat(day || ':' || change) FROM active_user_changes"))
    };
    let before = counts();
    let ann = world.text("SELECT public_id FROM users WHERE email = 'ann@example.com'").unwrap();
    let erase = EraseUser { org_id: acme.org_id, user_public_id: ann.clone(), audit: audit(&world) };
    world.store.write(erase).await.unwrap();
    let recorded = events(&world);
    for event in &recorded {
        let expected = if event.user.as_ref() == Some(&ann) {
            place("", "")
        } else {
            place("198.51.100.9", "Browser/1")
        };
        assert_eq!(event.place, expected);
    }
    assert_eq!(recorded.len(), 4);
    assert_eq!(counts(), before);
    assert_eq!(
        world.number(&format!("SELECT users FROM organization_totals WHERE org_id = {}", acme.org_id)),
        1
    );
}

/// Numbers of rows may be given out again once the newest rows are gone.
#[actix::test]
async fn an_erasure_never_follows_the_chain_into_events_of_others() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let sign_in = async |name: &str| {
        let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, name)).await;
        world.store.write(redeem_code(&world, &acme.web, &arrived)).await.unwrap();
    };
    sign_in("ann").await;
    world.execute("DELETE FROM login_events");
    sign_in("bob").await;
    let ann = world.text("SELECT public_id FROM users WHERE email = 'ann@example.com'").unwrap();
    world
        .store
        .write(EraseUser { org_id: acme.org_id, user_public_id: ann, audit: audit(&world) })
        .await
        .unwrap();
    assert_eq!(events(&world)[0].place, place("198.51.100.9", "Browser/1"));
}
