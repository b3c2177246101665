//! Refresh tokens (RFC 6749, section 6; RFC 9700, section 4.14.2): rotated at each use, reuse ends the session.

use futures_util::future::join_all;
use gatehouse_actors::data::authorization_codes::CodeRedemption;
use gatehouse_actors::data::refresh_tokens::{
    REFRESH_GRACE, REFRESH_LIFETIME, RefreshRefusal, RotateRefreshToken, Rotation,
};
use gatehouse_actors::data::sessions::{EndSession, Grant, SESSION_LIFETIME, SessionByPublicId, Subject};
use gatehouse_actors::data::token_binding::TokenBinding;

use crate::support::{Tenant, World, audit, code_for, hash, person, redeem_code, refusal, tenant};

/// A refresh token as a client holds it.
#[derive(Debug, Clone, Copy)]
struct Token {
    id: i64,
    secret_hash: [u8; 32],
}

struct Setting {
    world: World,
    acme: Tenant,
    session: String,
    first: Token,
}

async fn setting() -> Setting {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let arrived = code_for(&world, &acme.web, person(&world, acme.org_id, "ann")).await;
    let redeem = redeem_code(&world, &acme.web, &arrived);
    let (session, secret_hash) = (redeem.session.public_id.clone(), redeem.session.refresh_hash);
    let CodeRedemption::Granted { grant, .. } = world.store.write(redeem).await.unwrap() else {
        panic!("replay")
    };
    let first = Token { id: grant.refresh_token_id, secret_hash };
    Setting { world, acme, session, first }
}

impl Setting {
    /// The use of a token. Its successor's hash follows from the token itself, as it does in the service.
    fn usage(&self, token: Token) -> RotateRefreshToken {
        RotateRefreshToken {
            id: token.id,
            secret_hash: token.secret_hash,
            successor_hash: successor_hash(token),
            client_id: Some(self.acme.web.client_id.clone()),
            asked: TokenBinding::default(),
            requested_scope: None,
            now: self.world.now(),
            audit: audit(&self.world),
        }
    }

    /// Uses a token and returns its successor.
    async fn rotated(&self, token: Token) -> Token {
        let grant = self.granted(token).await;
        Token { id: grant.refresh_token_id, secret_hash: successor_hash(token) }
    }

    async fn granted(&self, token: Token) -> Grant {
        match self.world.store.write(self.usage(token)).await.unwrap() {
            Rotation::Granted(grant) => *grant,
            Rotation::Reused => panic!("expected a successor, got reuse"),
        }
    }

    async fn is_reuse(&self, token: Token) -> bool {
        self.world.store.write(self.usage(token)).await.unwrap() == Rotation::Reused
    }

    async fn refused(&self, token: Token) -> RefreshRefusal {
        refusal(self.world.store.write(self.usage(token)).await)
    }

    async fn subject(&self) -> Subject {
        let question = SessionByPublicId { public_id: self.session.clone() };
        self.world.store.read(question).await.unwrap().unwrap()
    }

    async fn is_live(&self) -> bool {
        self.subject().await.is_live(self.world.now())
    }

    fn tokens(&self) -> i64 {
        self.world.number("SELECT COUNT(*) FROM refresh_tokens")
    }
}

fn successor_hash(token: Token) -> [u8; 32] {
    let mut hash = token.secret_hash;
    hash.rotate_left(1);
    hash[31] = hash[31].wrapping_add(1);
    hash
}

#[actix::test]
async fn each_use_yields_a_successor() {
    let setting = setting().await;
    let mut token = setting.first;
    for _ in 0..5 {
        let next = setting.rotated(token).await;
        assert_ne!(next.id, token.id);
        token = next;
        setting.world.clock.advance(REFRESH_LIFETIME / 2);
    }
    assert_eq!(setting.tokens(), 6);
    assert!(setting.is_live().await);
    setting.world.stop().await;
}

#[actix::test]
async fn the_answer_tells_the_rights_of_now() {
    let setting = setting().await;
    setting.world.execute("UPDATE plans SET features = '[\"export\"]'; UPDATE users SET name = 'Ann B.'");
    let grant = setting.granted(setting.first).await;
    assert_eq!(grant.subject.entitlement(0).features(), ["export"]);
    assert_eq!(grant.subject.name.as_deref(), Some("Ann B."));
    setting.world.stop().await;
}

#[actix::test]
async fn a_repeat_inside_the_grace_yields_the_same_successor() {
    let setting = setting().await;
    let second = setting.rotated(setting.first).await;
    setting.world.clock.advance(REFRESH_GRACE);
    assert_eq!(setting.rotated(setting.first).await.id, second.id);
    assert_eq!(setting.tokens(), 2);
    assert!(setting.is_live().await);
    setting.world.stop().await;
}

#[actix::test]
async fn twenty_at_once_yield_one_successor() {
    let setting = setting().await;
    let answers = join_all((0..20).map(|_| setting.granted(setting.first))).await;
    assert!(answers.iter().all(|grant| grant.refresh_token_id == answers[0].refresh_token_id));
    assert_eq!(setting.tokens(), 2);
    setting.world.stop().await;
}

#[actix::test]
async fn a_repeat_after_the_successor_was_used_ends_the_session_even_inside_the_grace() {
    let setting = setting().await;
    let second = setting.rotated(setting.first).await;
    let third = setting.rotated(second).await;
    assert!(setting.is_reuse(setting.first).await);
    assert!(!setting.is_live().await);
    // The whole family is dead, the newest included.
    for token in [setting.first, second, third] {
        assert_eq!(setting.refused(token).await, RefreshRefusal::Over);
    }
    let reason = setting.world.text("SELECT ended_reason FROM sessions");
    assert_eq!(reason.as_deref(), Some("refresh_token_reused"));
    let entries = "SELECT COUNT(*) FROM audit_log a JOIN sessions x ON x.public_id = a.target_id \
        WHERE a.action = 'session.refresh_token_reused' AND a.org_id = x.org_id AND a.ip_address = '203.0.113.7'";
    assert_eq!(setting.world.number(entries), 1, "one entry, however often a dead token comes");
    setting.world.stop().await;
}

#[actix::test]
async fn a_repeat_after_the_grace_ends_the_session() {
    let setting = setting().await;
    let second = setting.rotated(setting.first).await;
    setting.world.clock.advance(REFRESH_GRACE + 1);
    assert!(setting.is_reuse(setting.first).await);
    assert_eq!(setting.refused(second).await, RefreshRefusal::Over);
    assert_eq!(setting.tokens(), 2);
    setting.world.stop().await;
}

#[actix::test]
async fn a_token_of_another_client_is_refused_and_its_family_unharmed() {
    let setting = setting().await;
    let other = Some(setting.acme.terminal.client_id.clone());
    let stolen = RotateRefreshToken { client_id: other.clone(), ..setting.usage(setting.first) };
    assert_eq!(refusal(setting.world.store.write(stolen).await), RefreshRefusal::OtherClient);
    let second = setting.rotated(setting.first).await;
    // Nor does a used one in the wrong hands pass for reuse.
    setting.world.clock.advance(REFRESH_GRACE + 1);
    let stolen = RotateRefreshToken { client_id: other, ..setting.usage(setting.first) };
    assert_eq!(refusal(setting.world.store.write(stolen).await), RefreshRefusal::OtherClient);
    setting.rotated(second).await;
    setting.world.stop().await;
}

#[actix::test]
async fn a_wrong_secret_or_id_is_unknown() {
    let setting = setting().await;
    let wrong = Token { secret_hash: hash(), ..setting.first };
    assert_eq!(setting.refused(wrong).await, RefreshRefusal::Unknown);
    let wrong = Token { id: setting.first.id + 1, ..setting.first };
    assert_eq!(setting.refused(wrong).await, RefreshRefusal::Unknown);
    setting.rotated(setting.first).await;
    setting.world.stop().await;
}

#[actix::test]
async fn where_the_endpoint_knows_no_client_the_token_speaks_for_itself() {
    let setting = setting().await;
    let usage = RotateRefreshToken { client_id: None, ..setting.usage(setting.first) };
    setting.world.execute("UPDATE services SET dpop_bound_access_tokens = 1");
    let refused = refusal(setting.world.store.write(usage.clone()).await);
    assert_eq!(refused, RefreshRefusal::ProofNeeded, "also for a session from before that was asked for");
    setting.world.execute("UPDATE services SET dpop_bound_access_tokens = 0");
    assert!(matches!(setting.world.store.write(usage).await, Ok(Rotation::Granted(_))));
    setting.world.stop().await;
}

#[actix::test]
async fn scope_may_be_named_but_not_widened() {
    let setting = setting().await;
    let asking = |scope: &str| RotateRefreshToken {
        requested_scope: Some(scope.to_owned()),
        ..setting.usage(setting.first)
    };
    // Granted was "openid email". A part of a word is not a word.
    for wider in ["openid email admin", "admin", "mail", "openid  email", ""] {
        let refused = refusal(setting.world.store.write(asking(wider)).await);
        assert_eq!(refused, RefreshRefusal::ScopeTooWide, "{wider:?}");
    }
    assert_eq!(setting.tokens(), 1, "a refusal burns nothing");
    for granted in ["openid", "email openid"] {
        let answer = setting.world.store.write(asking(granted)).await.unwrap();
        assert!(matches!(answer, Rotation::Granted(_)), "{granted:?}");
    }
    setting.world.stop().await;
}

#[actix::test]
async fn an_unused_token_dies_after_thirty_days() {
    let setting = setting().await;
    setting.world.clock.advance(REFRESH_LIFETIME - 1);
    let second = setting.rotated(setting.first).await;
    setting.world.clock.advance(REFRESH_LIFETIME);
    assert_eq!(setting.refused(second).await, RefreshRefusal::Over);
    setting.world.stop().await;
}

#[actix::test]
async fn a_session_dies_after_a_hundred_and_eighty_days_however_often_it_is_refreshed() {
    const STEP: i64 = 20 * 24 * 60 * 60 * 1000;
    let setting = setting().await;
    let end = setting.subject().await.expires_at;
    assert_eq!(end, setting.world.now() + SESSION_LIFETIME);
    let mut token = setting.first;
    while setting.world.now() + STEP < end {
        setting.world.clock.advance(STEP);
        token = setting.rotated(token).await;
    }
    assert_eq!(setting.world.number("SELECT MAX(expires_at) FROM refresh_tokens"), end);
    setting.world.clock.advance(end - setting.world.now() - 1);
    token = setting.rotated(token).await;
    setting.world.clock.advance(1);
    assert!(!setting.is_live().await);
    assert_eq!(setting.refused(token).await, RefreshRefusal::Over);
    setting.world.stop().await;
}

#[actix::test]
async fn a_suspended_organization_refreshes_nothing_and_burns_nothing() {
    let setting = setting().await;
    setting.world.execute("UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'");
    assert_eq!(setting.refused(setting.first).await, RefreshRefusal::OrganizationNotActive);
    assert_eq!(setting.tokens(), 1);
    assert!(!setting.subject().await.is_org_active());
    setting.world.stop().await;
}

#[actix::test]
async fn an_ended_session_refreshes_nothing_and_ends_once() {
    let setting = setting().await;
    let end = |reason, now| EndSession { public_id: setting.session.clone(), reason, now };
    setting.world.store.write(end("logout", setting.world.now())).await.unwrap();
    assert_eq!(setting.refused(setting.first).await, RefreshRefusal::Over);
    setting.world.store.write(end("again", setting.world.now() + 1)).await.unwrap();
    assert_eq!(setting.subject().await.ended_at, Some(setting.world.now()));
    let reason = setting.world.text("SELECT ended_reason FROM sessions");
    assert_eq!(reason.as_deref(), Some("logout"));
    let never = EndSession { public_id: "never was".to_owned(), reason: "logout", now: setting.world.now() };
    assert_eq!(setting.world.store.write(never).await, Ok(()));
    setting.world.stop().await;
}

#[actix::test]
async fn after_a_logout_no_refresh_that_was_under_way_revives_the_session() {
    let setting = setting().await;
    let logout =
        EndSession { public_id: setting.session.clone(), reason: "logout", now: setting.world.now() };
    let uses = || join_all((0..10).map(|_| setting.world.store.write(setting.usage(setting.first))));
    let (before, ended, after) = futures_util::join!(uses(), setting.world.store.write(logout), uses());
    ended.unwrap();
    assert!(before.iter().all(Result::is_ok));
    assert!(after.into_iter().all(|answer| refusal(answer) == RefreshRefusal::Over));
    assert!(!setting.is_live().await);
    assert_eq!(setting.refused(setting.first).await, RefreshRefusal::Over);
    let successor = setting.world.number("SELECT COALESCE(MAX(successor_id), 0) FROM refresh_tokens");
    if successor != 0 {
        let successor = Token { id: successor, secret_hash: successor_hash(setting.first) };
        assert_eq!(setting.refused(successor).await, RefreshRefusal::Over);
    }
    setting.world.stop().await;
}

/// The housekeeper sweeps out tokens only when their use is refused whether or not they are known.
#[actix::test]
async fn reuse_is_still_found_after_the_housekeeper_was_there() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let setting = setting().await;
    setting.world.clock.advance(20 * DAY);
    setting.rotated(setting.first).await;
    setting.world.clock.advance(9 * DAY);
    setting.world.store.keep_house().await;
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM refresh_tokens"), 2);
    assert!(setting.is_reuse(setting.first).await);
    setting.world.clock.advance(2 * DAY + 1);
    setting.world.store.keep_house().await;
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM refresh_tokens"), 1);
    assert_eq!(setting.refused(setting.first).await, RefreshRefusal::Unknown);
    setting.world.stop().await;
}
