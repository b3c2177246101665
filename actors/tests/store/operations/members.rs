//! The team: who may change whom, and exactly one owner whatever happens at the same time.

use futures_util::future::join_all;
use gatehouse_actors::data::members::{
    Acting, ChangeRole, Heir, MemberRefusal, Members, RemoveMember, TransferOwnership,
};
use gatehouse_actors::data::memberships::Role;
use gatehouse_actors::error::OpError;

use crate::support::{Administrator, World, administrator, audit, join, refusal, registered, spawn_write};

/// An organization with an owner, two admins and two members.
struct Team {
    world: World,
    org_id: i64,
    owner: Administrator,
    admins: [Administrator; 2],
    members: [Administrator; 2],
}

impl Team {
    async fn new() -> Self {
        let world = World::new();
        let owner = administrator(&world, "owner").await;
        let org_id = registered(&world, "acme", owner.user_id).await.organization.id;
        let mut people = Vec::new();
        for (name, role) in [("ad1", "admin"), ("ad2", "admin"), ("me1", "member"), ("me2", "member")] {
            let person = administrator(&world, name).await;
            join(&world, org_id, person.user_id, role);
            people.push(person);
        }
        let [ad1, ad2, me1, me2] = people.try_into().unwrap();
        Self { world, org_id, owner, admins: [ad1, ad2], members: [me1, me2] }
    }

    fn acting(&self, who: &Administrator) -> Acting {
        Acting { org_id: self.org_id, user_id: who.user_id }
    }

    fn remove(&self, who: &Administrator, whom: &Administrator) -> RemoveMember {
        let user_public_id = whom.public_id.clone();
        RemoveMember { acting: self.acting(who), user_public_id, audit: audit(&self.world) }
    }

    fn change(&self, who: &Administrator, whom: &Administrator, role: Role) -> ChangeRole {
        let user_public_id = whom.public_id.clone();
        ChangeRole { acting: self.acting(who), user_public_id, role, audit: audit(&self.world) }
    }

    fn transfer(&self, who: &Administrator, heir: Heir) -> TransferOwnership {
        TransferOwnership { acting: self.acting(who), heir, audit: audit(&self.world) }
    }

    fn role(&self, who: &Administrator) -> Option<String> {
        let sql = format!(
            "SELECT (SELECT role FROM memberships WHERE org_id = {} AND user_id = {})",
            self.org_id, who.user_id
        );
        self.world.text(&sql)
    }

    fn owners(&self) -> i64 {
        self.world.number("SELECT COUNT(*) FROM memberships WHERE role = 'owner'")
    }
}

#[actix::test]
async fn who_may_remove_whom() {
    let team = Team::new().await;
    let store = &team.world.store;
    let (owner, [ad1, ad2], [me1, me2]) = (&team.owner, &team.admins, &team.members);
    for (who, whom) in [(me1, me2), (me1, ad1), (me1, owner), (ad1, ad2), (ad1, owner)] {
        assert_eq!(refusal(store.write(team.remove(who, whom)).await), MemberRefusal::NotAllowed);
    }
    assert_eq!(refusal(store.write(team.remove(owner, owner)).await), MemberRefusal::OwnerStays);
    for (who, whom) in [(ad1, me1), (me2, me2), (owner, ad2), (ad1, ad1)] {
        store.write(team.remove(who, whom)).await.unwrap();
        assert_eq!(team.role(whom), None);
    }
    assert_eq!(refusal(store.write(team.remove(owner, me1)).await), MemberRefusal::NoSuchMember);
    assert_eq!(
        refusal(store.write(team.remove(ad1, owner)).await),
        MemberRefusal::NotAllowed,
        "no longer in"
    );
    assert_eq!(team.world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'member.removed'"), 2);
    assert_eq!(team.world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'member.left'"), 2);
    team.world.stop().await;
}

#[actix::test]
async fn only_the_owner_changes_roles() {
    let team = Team::new().await;
    let store = &team.world.store;
    let (owner, [ad1, _], [me1, _]) = (&team.owner, &team.admins, &team.members);
    for (who, whom) in [(ad1, me1), (me1, me1), (ad1, ad1), (ad1, owner)] {
        for role in [Role::Member, Role::Admin, Role::Owner] {
            assert_eq!(refusal(store.write(team.change(who, whom, role)).await), MemberRefusal::NotAllowed);
        }
    }
    for role in [Role::Member, Role::Admin] {
        let refused = refusal(store.write(team.change(owner, owner, role)).await);
        assert_eq!(refused, MemberRefusal::OwnerStays);
    }
    assert_eq!(store.write(team.change(owner, me1, Role::Admin)).await.unwrap().role, Role::Admin);
    assert_eq!(store.write(team.change(owner, me1, Role::Admin)).await.unwrap().role, Role::Admin);
    assert_eq!(team.role(me1).as_deref(), Some("admin"));
    let changes = "SELECT COUNT(*) FROM audit_log WHERE action = 'member.role_changed'";
    assert_eq!(team.world.number(changes), 1, "a change that changes nothing is not noted");
    team.world.stop().await;
}

#[actix::test]
async fn ownership_goes_to_a_member_and_the_old_owner_stays_as_admin() {
    let team = Team::new().await;
    let store = &team.world.store;
    let (owner, [ad1, _], [me1, _]) = (&team.owner, &team.admins, &team.members);
    let stranger = administrator(&team.world, "stranger").await;
    let refused = [
        (owner, Heir::Email("owner@example.com".to_owned()), MemberRefusal::AlreadyOwner),
        (owner, Heir::UserPublicId(owner.public_id.clone()), MemberRefusal::AlreadyOwner),
        (owner, Heir::Email("stranger@example.com".to_owned()), MemberRefusal::NoSuchMember),
        (owner, Heir::UserPublicId(stranger.public_id.clone()), MemberRefusal::NoSuchMember),
        (ad1, Heir::UserPublicId(ad1.public_id.clone()), MemberRefusal::NotAllowed),
    ];
    for (who, heir, reason) in refused {
        assert_eq!(refusal(store.write(team.transfer(who, heir)).await), reason);
    }
    let heir = store.write(team.transfer(owner, Heir::Email("me1@example.com".to_owned()))).await.unwrap();
    assert_eq!((heir.role, heir.user_id), (Role::Owner, me1.user_id));
    assert_eq!((team.role(owner).as_deref(), team.role(me1).as_deref()), (Some("admin"), Some("owner")));
    // Giving the role is handing over, too.
    store.write(team.change(me1, ad1, Role::Owner)).await.unwrap();
    assert_eq!((team.role(me1).as_deref(), team.role(ad1).as_deref()), (Some("admin"), Some("owner")));
    assert_eq!(team.owners(), 1);
    team.world.stop().await;
}

#[actix::test]
async fn parallel_transfers_and_removals_leave_exactly_one_owner() {
    for round in 0..8 {
        let team = Team::new().await;
        let store = &team.world.store;
        let (owner, [ad1, ad2], [me1, me2]) = (&team.owner, &team.admins, &team.members);
        let heirs = [ad1, ad2, me1, me2];
        let transfer =
            |heir: &Administrator| team.transfer(owner, Heir::UserPublicId(heir.public_id.clone()));
        // Collected, so that they are under way before the removals.
        let transfers: Vec<_> = heirs
            .iter()
            .cycle()
            .skip(round)
            .take(16)
            .map(|heir| spawn_write(store, transfer(heir)))
            .collect();
        let removals = heirs.map(|whom| spawn_write(store, team.remove(owner, whom)));
        let (transfers, _) = futures_util::join!(join_all(transfers), join_all(removals));
        assert_eq!(transfers.iter().filter(|answer| answer.is_ok()).count(), 1, "the first one wins");
        assert!(transfers.iter().all(|answer| matches!(
            answer,
            Ok(_) | Err(OpError::Refused(MemberRefusal::NotAllowed | MemberRefusal::NoSuchMember))
        )));
        assert_eq!(team.owners(), 1);
        assert_eq!(team.role(owner).as_deref(), Some("admin"));
        team.world.stop().await;
    }
}

#[actix::test]
async fn a_pending_organization_can_be_given_back_by_an_owner_who_is_alone() {
    let team = Team::new().await;
    let (world, owner) = (&team.world, &team.owner);
    world.execute("DELETE FROM memberships WHERE role <> 'owner'");
    for status in ["active", "suspended", "rejected"] {
        world.execute(&format!("UPDATE organizations SET status = '{status}' WHERE slug = 'acme'"));
        let refused = refusal(world.store.write(team.remove(owner, owner)).await);
        assert_eq!(refused, MemberRefusal::OwnerStays, "{status}");
    }
    world.execute("UPDATE organizations SET status = 'pending' WHERE slug = 'acme'");
    world.store.write(team.remove(owner, owner)).await.unwrap();
    assert_eq!(team.owners(), 0);
    assert_eq!(world.number("SELECT COUNT(*) FROM audit_log WHERE action = 'organization.declined'"), 1);
    team.world.stop().await;
}

#[actix::test]
async fn the_list_tells_the_limit_and_where_it_comes_from() {
    let team = Team::new().await;
    let page = async |role, limit, offset| {
        team.world.store.read(Members { org_id: team.org_id, role, limit, offset }).await.unwrap()
    };
    let all = page(None, 2, 1).await;
    let emails: Vec<_> = all.members.iter().filter_map(|member| member.user.email.as_deref()).collect();
    assert_eq!((emails, all.total), (vec!["ad1@example.com", "ad2@example.com"], 5));
    assert_eq!((all.limit.current, all.limit.max, all.limit.is_override), (5, Some(3), false));
    team.world.execute("UPDATE organizations SET max_users = 7 WHERE slug = 'acme'");
    let members = page(Some(Role::Member), 9, 0).await;
    assert_eq!((members.members.len(), members.total), (2, 2));
    assert_eq!((members.limit.current, members.limit.max, members.limit.is_override), (5, Some(7), true));
    team.world.execute("UPDATE organizations SET max_users = NULL, tier_id = 'tier_enterprise'");
    assert_eq!(page(None, 9, 0).await.limit.max, None);
    team.world.stop().await;
}
