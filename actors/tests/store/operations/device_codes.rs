//! Device codes (RFC 8628): issued in batches, claimed by one account, decided once, redeemed once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::{
    ClaimedDeviceCode, CountLiveDeviceCodes, DEVICE_CODE_LIFETIME, DecideDeviceCode, DeviceCode,
    DeviceCodeByUserCode, DeviceCodeRefusal, DeviceCodeStatus, PossibleDeviceCode, USER_CODES,
};
use gatehouse_actors::data::device_redemption::{
    DeviceRedemption, PollDeviceCode, RedeemDeviceCode, RedeemRefusal,
};
use gatehouse_actors::data::sessions::{Grant, SessionByPublicId};
use gatehouse_actors::data::sign_in::SignInRefusal;
use gatehouse_actors::device_code_batcher::IssuedDeviceCode;
use gatehouse_actors::error::StoreError;

use crate::support::{
    Tenant, World, device_sign_in, failure, hash, hash_of_secret, hold_writer, issue_device_code,
    new_session, person, public_id, refusal, tenant, typed,
};

struct Setting {
    world: World,
    acme: Tenant,
    issued: IssuedDeviceCode,
}

async fn setting() -> Setting {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let issued = issue_device_code(&world, &acme.terminal).await.unwrap();
    Setting { world, acme, issued }
}

impl Setting {
    /// The poll that is right in every respect.
    fn poll(&self) -> RedeemDeviceCode {
        RedeemDeviceCode {
            id: self.issued.id,
            secret_hash: hash_of_secret(&self.issued.secret),
            client_id: self.acme.terminal.client_id.clone(),
            session: new_session(),
            now: self.world.now(),
        }
    }

    async fn polled(&self) -> RedeemRefusal {
        refusal(self.world.store.write(self.poll()).await)
    }

    async fn granted(&self, poll: RedeemDeviceCode) -> Grant {
        match self.world.store.write(poll).await.unwrap() {
            DeviceRedemption::Granted(grant) => *grant,
            DeviceRedemption::Replayed => panic!("expected a session, got a replay"),
        }
    }

    /// Signs a person in for the code and returns the user's row id.
    async fn claimed_by(&self, name: &str) -> i64 {
        let arrival = person(&self.world, self.acme.org_id, name);
        self.world.store.write(device_sign_in(&self.acme.terminal, arrival, self.issued.id)).await.unwrap()
    }

    async fn claim_refused(&self, name: &str) -> SignInRefusal {
        let arrival = person(&self.world, self.acme.org_id, name);
        refusal(self.world.store.write(device_sign_in(&self.acme.terminal, arrival, self.issued.id)).await)
    }

    fn decision(&self, user_id: i64, approve: bool) -> DecideDeviceCode {
        DecideDeviceCode {
            id: self.issued.id,
            user_id,
            approve,
            event_public_id: public_id(),
            now: self.world.now(),
        }
    }

    async fn decided(&self, user_id: i64, approve: bool) {
        self.world.store.write(self.decision(user_id, approve)).await.unwrap();
    }

    async fn decision_refused(&self, user_id: i64) -> DeviceCodeRefusal {
        refusal(self.world.store.write(self.decision(user_id, true)).await)
    }

    async fn stored(&self) -> DeviceCode {
        let question = typed(&self.issued.user_code, self.world.now());
        self.world.store.read(question).await.unwrap().unwrap()
    }

    async fn is_live(&self, grant: &Grant) -> bool {
        let public_id = grant.subject.session_public_id.clone();
        let subject = self.world.store.read(SessionByPublicId { public_id }).await.unwrap().unwrap();
        subject.is_live(self.world.now())
    }
}

#[actix::test]
async fn three_hundred_requests_get_three_hundred_codes() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let issued: Vec<_> = join_all((0..300).map(|_| issue_device_code(&world, &acme.terminal))).await;
    let issued: Vec<_> = issued.into_iter().map(Result::unwrap).collect();
    let ids: BTreeSet<_> = issued.iter().map(|code| code.id).collect();
    let user_codes: BTreeSet<_> = issued.iter().map(|code| &code.user_code).collect();
    assert_eq!((ids.len(), user_codes.len()), (300, 300));
    // Everybody got the secret that belongs to their own row.
    for code in &issued {
        let question = PollDeviceCode { id: code.id, secret_hash: hash_of_secret(&code.secret) };
        let polled = world.store.read(question).await.unwrap().unwrap();
        assert_eq!((polled.service_id, polled.status), (acme.terminal.id, DeviceCodeStatus::Pending));
    }
    assert_eq!(world.figure("device_code_batcher", "issued").await, 300);
    assert!(world.figure("device_code_batcher", "batches").await < 50, "hardly batched");
    for (most, counted) in [(1_000, 300), (299, 299)] {
        let question = CountLiveDeviceCodes { most, now: world.now() };
        assert_eq!(world.store.read(question).await, Ok(counted));
    }
    world.stop().await;
}

#[actix::test]
async fn whoever_comes_before_a_batch_is_written_goes_with_it() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let gate = hold_writer(&world).await;
    let ask = |count: usize| -> Vec<_> {
        (0..count).map(|_| actix::spawn(issue_device_code(&world, &acme.terminal))).collect()
    };
    let mut asked = ask(1);
    world.until("device_code_batcher", "batches", 1).await;
    asked.extend(ask(255));
    world.until("device_code_batcher", "waiting", 256).await;
    assert_eq!(world.figure("device_code_batcher", "batches").await, 1);
    asked.extend(ask(44));
    world.until("device_code_batcher", "waiting", 300).await;
    assert_eq!(world.figure("device_code_batcher", "batches").await, 2);
    drop(gate);
    let ids: BTreeSet<_> = join_all(asked).await.into_iter().map(|code| code.unwrap().unwrap().id).collect();
    assert_eq!(ids.len(), 300);
    assert_eq!(world.figure("device_code_batcher", "waiting").await, 0);
    world.stop().await;
}

#[actix::test]
async fn an_id_never_comes_again() {
    let Setting { world, acme, issued } = setting().await;
    world.execute("DELETE FROM device_codes");
    assert_eq!(issue_device_code(&world, &acme.terminal).await.unwrap().id, issued.id + 1);
    world.stop().await;
}

#[actix::test]
async fn a_user_code_leads_to_the_newest_row_at_its_place_that_was_made_in_its_time() {
    let Setting { world, acme, issued } = setting().await;
    let made = world.now();
    let possible =
        |place, created_from, created_before| PossibleDeviceCode { place, created_from, created_before };
    let found = async |possible: Vec<PossibleDeviceCode>| {
        let question = DeviceCodeByUserCode { possible, hash: [0; 16], now: world.now() };
        world.store.read(question).await.unwrap().map(|code| code.id)
    };
    assert_eq!(found(vec![possible(issued.id, made, made + 1)]).await, Some(issued.id));
    assert_eq!(found(vec![possible(issued.id, made + 1, made + 2)]).await, None);
    assert_eq!(found(vec![possible(issued.id, made - 1, made)]).await, None);
    assert_eq!(found(vec![possible(issued.id + 1, 0, made + 1)]).await, None);
    assert_eq!(found(Vec::new()).await, None);
    // Once all codes were given out, places come again; rows do not.
    world.execute(&format!("UPDATE sqlite_sequence SET seq = {USER_CODES} + 6 WHERE name = 'device_codes'"));
    let later = issue_device_code(&world, &acme.terminal).await.unwrap();
    assert_eq!(later.id, USER_CODES + 7);
    assert_eq!(found(vec![possible(7, 0, Millis::MAX)]).await, Some(later.id));
    world.stop().await;
}

#[actix::test]
async fn a_code_from_before_is_found_by_its_hash() {
    let Setting { world, issued, .. } = setting().await;
    world.execute("UPDATE device_codes SET user_code_hash = x'00112233445566778899aabbccddeeff'");
    let hash = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
    let question = DeviceCodeByUserCode { possible: Vec::new(), hash, now: world.now() };
    assert_eq!(world.store.read(question).await.unwrap().map(|code| code.id), Some(issued.id));
    world.stop().await;
}

#[actix::test]
async fn a_user_code_that_two_people_hold_leads_to_neither() {
    let Setting { world, acme, issued: first } = setting().await;
    let second = issue_device_code(&world, &acme.terminal).await.unwrap();
    let possible: Vec<_> = [&first, &second]
        .map(|code| PossibleDeviceCode { place: code.id, created_from: 0, created_before: Millis::MAX })
        .into();
    let found = async || {
        let question = DeviceCodeByUserCode { possible: possible.clone(), hash: [0; 16], now: world.now() };
        world.store.read(question).await.unwrap().map(|code| code.id)
    };
    assert_eq!(found().await, None);
    // Who is the only one that can still mean it is found, whatever else the code once stood for.
    for (over, live) in [(&first, &second), (&second, &first)] {
        world.execute(&format!(
            "UPDATE device_codes SET expires_at = IIF(id = {}, 0, 4102444800000)",
            over.id
        ));
        assert_eq!(found().await, Some(live.id));
    }
    world.stop().await;
}

#[actix::test]
async fn a_batch_that_cannot_be_stored_is_told_to_everyone_in_it() {
    let world = World::new();
    let acme = tenant(&world, "acme").await;
    let mut gone = acme.terminal.clone();
    gone.id = 4711;
    let answer = issue_device_code(&world, &gone).await;
    assert!(matches!(answer, Err(StoreError::Constraint(_))), "{answer:?}");
    issue_device_code(&world, &acme.terminal).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn a_code_is_found_by_its_own_secret_and_by_its_user_code_only() {
    let setting = setting().await;
    let stored = setting.stored().await;
    assert_eq!((stored.org_slug.as_str(), stored.service_slug.as_str()), ("acme", "terminal"));
    assert_eq!(
        (stored.requested_from.as_str(), stored.user_agent.as_str()),
        ("203.0.113.7", "gatehouse login")
    );
    let Setting { world, issued, .. } = setting;
    let wrong = PollDeviceCode { id: issued.id, secret_hash: hash() };
    assert_eq!(world.store.read(wrong).await, Ok(None));
    let right = PollDeviceCode { id: issued.id, secret_hash: hash_of_secret(&issued.secret) };
    let polled = world.store.read(right).await.unwrap().unwrap();
    assert_eq!((polled.service_id, polled.expires_at), (stored.service_id, stored.expires_at));
    assert_eq!(world.store.read(typed("4711", world.now())).await, Ok(None));
    world.stop().await;
}

#[actix::test]
async fn pending_approved_redeemed_replayed() {
    let setting = setting().await;
    assert_eq!(setting.polled().await, RedeemRefusal::Pending);
    let ann = setting.claimed_by("ann").await;
    assert_eq!(setting.polled().await, RedeemRefusal::Pending, "signing in is not approving");
    setting.world.clock.advance(1000);
    setting.decided(ann, true).await;
    let grant = setting.granted(setting.poll()).await;
    assert_eq!(grant.subject.client_id, "acme-terminal");
    // Authenticated in the browser, a second before the approval.
    assert_eq!(grant.subject.authenticated_at, setting.world.now() - 1000);
    assert!(setting.is_live(&grant).await);
    let replay = setting.world.store.write(setting.poll()).await.unwrap();
    assert_eq!(replay, DeviceRedemption::Replayed);
    assert!(!setting.is_live(&grant).await);
    let reason = setting.world.text("SELECT ended_reason FROM sessions");
    assert_eq!(reason.as_deref(), Some("device_code_replayed"));
    setting.world.stop().await;
}

#[actix::test]
async fn sixty_four_at_once_get_one_token() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    setting.decided(ann, true).await;
    let answers = join_all((0..64).map(|_| setting.world.store.write(setting.poll()))).await;
    let (granted, replayed): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(Result::unwrap)
        .partition(|answer| matches!(answer, DeviceRedemption::Granted(_)));
    assert_eq!((granted.len(), replayed.len()), (1, 63));
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM sessions"), 1);
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM refresh_tokens"), 1);
    setting.world.stop().await;
}

#[actix::test]
async fn a_denied_code_stays_denied() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    setting.decided(ann, false).await;
    assert_eq!(setting.polled().await, RedeemRefusal::Denied);
    assert_eq!(setting.decision_refused(ann).await, DeviceCodeRefusal::Decided);
    assert_eq!(setting.polled().await, RedeemRefusal::Denied);
    setting.world.stop().await;
}

#[actix::test]
async fn nothing_is_decided_twice() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    let decisions = (0..10).map(|number| setting.world.store.write(setting.decision(ann, number % 2 == 0)));
    let answers = join_all(decisions).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(setting.decision_refused(ann).await, DeviceCodeRefusal::Decided);
    let decided = SignInRefusal::DeviceCode(DeviceCodeRefusal::Decided);
    assert_eq!(setting.claim_refused("ann").await, decided);
    setting.world.stop().await;
}

#[actix::test]
async fn a_code_belongs_to_who_claimed_it_first() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    let claimed = SignInRefusal::DeviceCode(DeviceCodeRefusal::ClaimedByOther);
    assert_eq!(setting.claim_refused("mallory").await, claimed);
    // A refused claim leaves no account behind either.
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM users"), 1);
    assert_eq!(setting.decision_refused(ann + 1).await, DeviceCodeRefusal::ClaimedByOther);
    // The same person may sign in again, say after closing the browser.
    assert_eq!(setting.claimed_by("ann").await, ann);
    let page = ClaimedDeviceCode { id: setting.issued.id, user_id: ann };
    let (code, account) = setting.world.store.read(page).await.unwrap().unwrap();
    assert_eq!((code.user_id, account.as_str()), (Some(ann), "ann@example.com"));
    let foreign = ClaimedDeviceCode { id: setting.issued.id, user_id: ann + 1 };
    assert_eq!(setting.world.store.read(foreign).await, Ok(None));
    setting.world.stop().await;
}

#[actix::test]
async fn nobody_decides_a_code_that_nobody_claimed() {
    let setting = setting().await;
    assert_eq!(setting.decision_refused(1).await, DeviceCodeRefusal::Expired);
    assert_eq!(setting.polled().await, RedeemRefusal::Pending);
    setting.world.stop().await;
}

#[actix::test]
async fn signing_in_to_another_service_never_touches_the_code() {
    let setting = setting().await;
    let globex = tenant(&setting.world, "globex").await;
    let expired = SignInRefusal::DeviceCode(DeviceCodeRefusal::Expired);
    for service in [&setting.acme.web, &globex.terminal] {
        let arrival = person(&setting.world, service.org_id, "ann");
        let sign_in = device_sign_in(service, arrival, setting.issued.id);
        assert_eq!(refusal(setting.world.store.write(sign_in).await), expired);
    }
    assert_eq!(setting.stored().await.user_id, None);
    setting.world.stop().await;
}

#[actix::test]
async fn a_poll_with_another_client_or_secret_is_unknown_and_changes_nothing() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    setting.decided(ann, true).await;
    let wrong = [
        RedeemDeviceCode { client_id: setting.acme.web.client_id.clone(), ..setting.poll() },
        RedeemDeviceCode { secret_hash: hash(), ..setting.poll() },
        RedeemDeviceCode { id: setting.issued.id + 1, ..setting.poll() },
    ];
    for poll in wrong.clone() {
        assert_eq!(refusal(setting.world.store.write(poll).await), RedeemRefusal::Unknown);
    }
    let grant = setting.granted(setting.poll()).await;
    // Nor does a wrong poll of a redeemed code pass for a replay: it would end somebody else's session.
    for poll in wrong {
        assert_eq!(refusal(setting.world.store.write(poll).await), RedeemRefusal::Unknown);
    }
    assert!(setting.is_live(&grant).await);
    setting.world.stop().await;
}

#[actix::test]
async fn a_code_dies_after_fifteen_minutes_whatever_its_state() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    setting.world.clock.advance(DEVICE_CODE_LIFETIME - 1);
    assert_eq!(setting.polled().await, RedeemRefusal::Pending);
    setting.decided(ann, true).await;
    setting.world.clock.advance(1);
    assert_eq!(setting.polled().await, RedeemRefusal::Expired);
    assert!(setting.stored().await.is_expired(setting.world.now()));
    let expired = SignInRefusal::DeviceCode(DeviceCodeRefusal::Expired);
    assert_eq!(setting.claim_refused("ann").await, expired);
    assert_eq!(setting.decision_refused(ann).await, DeviceCodeRefusal::Expired);
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM sessions"), 0);
    let question = CountLiveDeviceCodes { most: 1_000, now: setting.world.now() };
    let live = setting.world.store.read(question).await;
    assert_eq!(live, Ok(0));
    setting.world.stop().await;
}

#[actix::test]
async fn a_suspension_stops_the_claim_the_decision_and_the_redemption() {
    let setting = setting().await;
    let suspend = "UPDATE organizations SET status = 'suspended' WHERE slug = 'acme'";
    let activate = "UPDATE organizations SET status = 'active' WHERE slug = 'acme'";
    setting.world.execute(suspend);
    let inactive = SignInRefusal::OrganizationNotActive("suspended".to_owned());
    assert_eq!(setting.claim_refused("ann").await, inactive);
    setting.world.execute(activate);
    let ann = setting.claimed_by("ann").await;
    setting.world.execute(suspend);
    assert_eq!(setting.decision_refused(ann).await, DeviceCodeRefusal::OrganizationNotActive);
    setting.world.execute(activate);
    setting.decided(ann, true).await;
    setting.world.execute(suspend);
    assert_eq!(setting.polled().await, RedeemRefusal::Denied);
    assert_eq!(setting.world.number("SELECT COUNT(*) FROM sessions"), 0);
    setting.world.stop().await;
}

#[actix::test]
async fn a_failed_redemption_leaves_the_code_approved() {
    let setting = setting().await;
    let ann = setting.claimed_by("ann").await;
    setting.decided(ann, true).await;
    let service = &setting.acme.terminal;
    setting.world.execute(&format!(
        "INSERT INTO sessions (public_id, org_id, service_id, user_id, provider, method, scope, authenticated_at, \
         created_at, expires_at) VALUES ('taken', {}, {}, {ann}, 'google', 'web', '', 0, 0, 0)",
        service.org_id, service.id
    ));
    let mut clash = setting.poll();
    clash.session.public_id = "taken".to_owned();
    assert!(matches!(failure(setting.world.store.write(clash).await), StoreError::Constraint(_)));
    setting.granted(setting.poll()).await;
    setting.world.stop().await;
}

#[actix::test]
async fn old_codes_leave_an_hour_after_they_died() {
    const HOUR: i64 = 60 * 60 * 1000;
    let setting = setting().await;
    setting.world.clock.advance(DEVICE_CODE_LIFETIME + HOUR);
    issue_device_code(&setting.world, &setting.acme.terminal).await.unwrap();
    assert_eq!(setting.polled().await, RedeemRefusal::Expired, "still known");
    setting.world.clock.advance(1);
    issue_device_code(&setting.world, &setting.acme.terminal).await.unwrap();
    assert_eq!(setting.polled().await, RedeemRefusal::Unknown);
    setting.world.stop().await;
}
