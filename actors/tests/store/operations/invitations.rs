//! Invitations: whom they let in, when, and what they leave behind.

use futures_util::future::join_all;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::PLATFORM_ORG_ID;
use gatehouse_actors::data::audit::AuditContext;
use gatehouse_actors::data::invitation_answers::{AcceptInvitation, AnswerRefusal, DeclineInvitation};
use gatehouse_actors::data::invitations::{
    CancelInvitation, CancelRefusal, CreateInvitation, INVITATION_LIFETIME, Invitation, InvitationByToken,
    InvitationToken, InvitationsForEmail, InviteRefusal, OrganizationInvitations,
};
use gatehouse_actors::data::memberships::Role;
use gatehouse_actors::data::sign_in::CompleteBareSignIn;
use gatehouse_actors::error::OpError;

use crate::support::{World, hash, person, public_id, refusal, spawn_write, tenant};

/// An active organization on the free tier (three members), its owner, and an admin.
struct Team {
    world: World,
    org_id: i64,
    owner: i64,
    admin: i64,
}

impl Team {
    async fn new() -> Self {
        let world = World::new();
        let org_id = tenant(&world, "acme").await.org_id;
        let (owner, admin) = (administrator(&world, "owner").await, administrator(&world, "admin").await);
        let team = Self { world, org_id, owner, admin };
        team.join(owner, "owner");
        team.join(admin, "admin");
        team
    }

    fn join(&self, user_id: i64, role: &str) {
        let (id, org_id) = (public_id(), self.org_id);
        self.world.execute(&format!(
            "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) VALUES ('{id}', {org_id}, {user_id}, '{role}', 0)"
        ));
    }

    fn now(&self) -> Millis {
        self.world.now()
    }

    fn audit(&self) -> AuditContext {
        AuditContext {
            entry_public_id: public_id(),
            actor_user_id: None,
            ip_address: "203.0.113.7".to_owned(),
            user_agent: "tests".to_owned(),
            now: self.now(),
        }
    }

    fn create(&self, email: &str) -> CreateInvitation {
        CreateInvitation {
            org_id: self.org_id,
            inviter_id: self.admin,
            public_id: public_id(),
            email: email.to_owned(),
            role: Role::Member,
            token_hash: hash(),
            now: self.now(),
            audit: self.audit(),
        }
    }

    async fn invite(&self, email: &str) -> (Invitation, InvitationToken) {
        let create = self.create(email);
        let secret_hash = create.token_hash;
        let invitation = self.world.store.write(create).await.unwrap();
        let token = InvitationToken { id: invitation.id, secret_hash };
        (invitation, token)
    }

    fn accept(&self, token: InvitationToken, user_id: i64) -> AcceptInvitation {
        let (membership_public_id, now, audit) = (public_id(), self.now(), self.audit());
        AcceptInvitation { token, user_id, membership_public_id, now, audit }
    }

    fn decline(&self, token: InvitationToken, user_id: i64) -> DeclineInvitation {
        DeclineInvitation { token, user_id, now: self.now(), audit: self.audit() }
    }

    fn cancel(&self, invitation: &Invitation) -> CancelInvitation {
        CancelInvitation {
            org_id: self.org_id,
            public_id: invitation.public_id.clone(),
            user_id: self.owner,
            now: self.now(),
            audit: self.audit(),
        }
    }

    async fn refused_accept(&self, token: InvitationToken, user_id: i64) -> AnswerRefusal {
        refusal(self.world.store.write(self.accept(token, user_id)).await)
    }

    async fn status(&self, token: InvitationToken) -> String {
        let question = InvitationByToken { token, now: self.now() };
        self.world.store.read(question).await.unwrap().unwrap().status
    }

    fn members(&self) -> i64 {
        self.world.number(&format!("SELECT COUNT(*) FROM memberships WHERE org_id = {}", self.org_id))
    }

    fn entries(&self, action: &str) -> i64 {
        self.world.number(&format!("SELECT COUNT(*) FROM audit_log WHERE action = '{action}'"))
    }
}

/// Somebody of the platform realm, with the verified address `name@example.com`.
async fn administrator(world: &World, name: &str) -> i64 {
    let arrival = person(world, PLATFORM_ORG_ID, name);
    world.store.write(CompleteBareSignIn { arrival, service_id: 1 }).await.unwrap()
}

#[actix::test]
async fn accepting_makes_a_member_and_says_who_it_was() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    let (invitation, token) = team.invite("bob@example.com").await;
    assert_eq!(
        (invitation.status.as_str(), invitation.expires_at),
        ("pending", team.now() + INVITATION_LIFETIME)
    );
    let accepted = team.world.store.write(team.accept(token, bob)).await.unwrap();
    assert_eq!(accepted.invitation.status, "accepted");
    assert_eq!(team.members(), 3);
    let role = team.world.text(&format!("SELECT role FROM memberships WHERE user_id = {bob}"));
    assert_eq!(role.as_deref(), Some("member"));
    let actor = team.world.text("SELECT actor_user_id FROM audit_log WHERE action = 'invitation.accepted'");
    assert_eq!(actor, Some(accepted.user_public_id));
    assert_eq!(team.refused_accept(token, bob).await, AnswerRefusal::Decided("accepted".to_owned()));
    let again = refusal(team.world.store.write(team.create("bob@example.com")).await);
    assert_eq!(again, InviteRefusal::AlreadyMember);
    team.world.stop().await;
}

#[actix::test]
async fn only_the_invited_address_answers_and_nothing_else_changes() {
    let team = Team::new().await;
    let eve = administrator(&team.world, "eve").await;
    let (_, token) = team.invite("bob@example.com").await;
    assert_eq!(team.refused_accept(token, eve).await, AnswerRefusal::WrongAccount);
    let declined = team.world.store.write(team.decline(token, eve)).await;
    assert_eq!(refusal(declined), AnswerRefusal::WrongAccount);
    let forged = InvitationToken { id: token.id, secret_hash: hash() };
    assert_eq!(team.refused_accept(forged, eve).await, AnswerRefusal::Unknown);
    // An end user with the invited address is somebody else: realms never mix.
    let arrival = person(&team.world, team.org_id, "bob");
    let service_id =
        team.world.number(&format!("SELECT MIN(id) FROM services WHERE org_id = {}", team.org_id));
    let end_user = team.world.store.write(CompleteBareSignIn { arrival, service_id }).await.unwrap();
    assert_eq!(team.refused_accept(token, end_user).await, AnswerRefusal::WrongAccount);
    assert_eq!((team.status(token).await.as_str(), team.members()), ("pending", 2));
    assert_eq!(team.entries("invitation.accepted") + team.entries("invitation.declined"), 0);
    team.world.stop().await;
}

#[actix::test]
async fn one_is_pending_per_address_and_an_expired_one_makes_room() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    let (_, first) = team.invite("bob@example.com").await;
    let again = refusal(team.world.store.write(team.create("bob@example.com")).await);
    assert_eq!(again, InviteRefusal::AlreadyInvited);
    team.world.clock.advance(INVITATION_LIFETIME);
    assert_eq!(team.refused_accept(first, bob).await, AnswerRefusal::Expired);
    let (_, second) = team.invite("bob@example.com").await;
    assert_eq!(team.refused_accept(first, bob).await, AnswerRefusal::Expired);
    assert_eq!(
        (team.status(first).await.as_str(), team.status(second).await.as_str()),
        ("expired", "pending")
    );
    team.world.store.write(team.accept(second, bob)).await.unwrap();
    team.world.stop().await;
}

#[actix::test]
async fn after_declining_or_cancelling_one_may_invite_again_any_number_of_times() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    for _ in 0..3 {
        let (_, token) = team.invite("bob@example.com").await;
        assert_eq!(team.world.store.write(team.decline(token, bob)).await.unwrap().status, "declined");
        let (invitation, token) = team.invite("bob@example.com").await;
        team.world.store.write(team.cancel(&invitation)).await.unwrap();
        assert_eq!(team.refused_accept(token, bob).await, AnswerRefusal::Decided("cancelled".to_owned()));
        let twice = refusal(team.world.store.write(team.cancel(&invitation)).await);
        assert_eq!(twice, CancelRefusal::Decided("cancelled".to_owned()));
    }
    assert_eq!((team.entries("invitation.created"), team.members()), (6, 2));
    assert_eq!((team.entries("invitation.declined"), team.entries("invitation.cancelled")), (3, 3));
    team.world.stop().await;
}

#[actix::test]
async fn an_invitation_is_worth_what_its_inviter_and_its_organization_are_worth_now() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    let (_, token) = team.invite("bob@example.com").await;
    let (admin, org) = (team.admin, team.org_id);
    team.world.execute(&format!("UPDATE memberships SET role = 'member' WHERE user_id = {admin}"));
    assert_eq!(team.refused_accept(token, bob).await, AnswerRefusal::InviterLostRights);
    let create = refusal(team.world.store.write(team.create("carl@example.com")).await);
    assert_eq!(create, InviteRefusal::NotAllowed);
    team.world.execute(&format!("DELETE FROM memberships WHERE user_id = {admin}"));
    assert_eq!(team.refused_accept(token, bob).await, AnswerRefusal::InviterLostRights);
    team.join(admin, "admin");
    team.world.execute(&format!("UPDATE organizations SET status = 'suspended' WHERE id = {org}"));
    let suspended = "suspended".to_owned();
    assert_eq!(
        team.refused_accept(token, bob).await,
        AnswerRefusal::OrganizationNotActive(suspended.clone())
    );
    let create = refusal(team.world.store.write(team.create("carl@example.com")).await);
    assert_eq!(create, InviteRefusal::OrganizationNotActive(suspended));
    assert_eq!(team.status(token).await, "pending");
    team.world.stop().await;
}

#[actix::test]
async fn a_full_team_takes_nobody_also_not_at_once() {
    let team = Team::new().await; // two of three places are taken
    let mut accepts = Vec::new();
    for number in 0..8 {
        let name = format!("person{number}");
        let user = administrator(&team.world, &name).await;
        let (_, token) = team.invite(&format!("{name}@example.com")).await;
        accepts.push(spawn_write(&team.world.store, team.accept(token, user)));
    }
    let answers = join_all(accepts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let full = |answer: &Result<_, _>| matches!(answer, Err(OpError::Refused(AnswerRefusal::TeamFull(3))));
    assert_eq!(answers.iter().filter(|answer| full(answer)).count(), 7);
    assert_eq!(team.members(), 3);
    team.world.stop().await;
}

#[actix::test]
async fn twenty_accepts_at_once_make_one_membership() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    let (_, token) = team.invite("bob@example.com").await;
    let accepts = (0..20).map(|_| spawn_write(&team.world.store, team.accept(token, bob)));
    let answers = join_all(accepts.collect::<Vec<_>>()).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!((team.members(), team.entries("invitation.accepted")), (3, 1));
    team.world.stop().await;
}

#[actix::test]
async fn accept_and_cancel_at_once_have_one_outcome() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    for round in 0..10 {
        let (invitation, token) = team.invite("bob@example.com").await;
        let store = &team.world.store;
        let (accepted, cancelled) = if round % 2 == 0 {
            let accept = spawn_write(store, team.accept(token, bob));
            let cancel = spawn_write(store, team.cancel(&invitation));
            (accept.await.is_ok(), cancel.await.is_ok())
        } else {
            let cancel = spawn_write(store, team.cancel(&invitation));
            let accept = spawn_write(store, team.accept(token, bob));
            (accept.await.is_ok(), cancel.await.is_ok())
        };
        assert!(accepted != cancelled, "exactly one wins");
        let status = team.status(token).await;
        assert_eq!(
            (status.as_str(), team.members()),
            if accepted { ("accepted", 3) } else { ("cancelled", 2) }
        );
        team.world.execute(&format!("DELETE FROM memberships WHERE user_id = {bob}"));
    }
    team.world.stop().await;
}

#[actix::test]
async fn lists_show_what_is_asked_for_newest_first() {
    let team = Team::new().await;
    let bob = administrator(&team.world, "bob").await;
    let (_, old) = team.invite("bob@example.com").await;
    team.world.store.write(team.decline(old, bob)).await.unwrap();
    team.invite("bob@example.com").await;
    team.invite("carl@example.com").await;
    let list = async |status: Option<&str>, limit, offset| {
        let status = status.map(ToOwned::to_owned);
        let question =
            OrganizationInvitations { org_id: team.org_id, status, now: team.now(), limit, offset };
        let found = team.world.store.read(question).await.unwrap();
        found.into_iter().map(|one| format!("{} {}", one.email, one.status)).collect::<Vec<_>>()
    };
    let all = ["carl@example.com pending", "bob@example.com pending", "bob@example.com declined"];
    assert_eq!(list(None, 50, 0).await, all);
    assert_eq!(list(None, 1, 1).await, all[1..2]);
    assert_eq!(list(Some("declined"), 50, 0).await, all[2..]);
    assert!(list(Some("expired"), 50, 0).await.is_empty());
    let mine =
        InvitationsForEmail { email: "bob@example.com".to_owned(), now: team.now(), limit: 50, offset: 0 };
    assert_eq!(team.world.store.read(mine.clone()).await.unwrap().len(), 1);
    team.world.clock.advance(INVITATION_LIFETIME);
    assert_eq!(list(Some("expired"), 50, 0).await.len(), 2);
    let later = InvitationsForEmail { now: team.now(), ..mine };
    assert!(team.world.store.read(later).await.unwrap().is_empty());
    team.world.stop().await;
}

#[actix::test]
async fn an_invitation_of_another_organization_is_not_there_and_nobody_is_invited_to_own() {
    let team = Team::new().await;
    let (invitation, _) = team.invite("bob@example.com").await;
    let other = tenant(&team.world, "other").await;
    let foreign = CancelInvitation { org_id: other.org_id, ..team.cancel(&invitation) };
    assert_eq!(refusal(team.world.store.write(foreign.clone()).await), CancelRefusal::NotAllowed);
    let owner = team.owner;
    team.world.execute(&format!(
        "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) VALUES ('x', {}, {owner}, 'owner', 0)",
        other.org_id
    ));
    assert_eq!(refusal(team.world.store.write(foreign).await), CancelRefusal::NotFound);
    let owning = CreateInvitation { role: Role::Owner, ..team.create("carl@example.com") };
    assert_eq!(refusal(team.world.store.write(owning).await), InviteRefusal::NotAllowed);
    team.world.stop().await;
}
