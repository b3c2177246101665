//! How many organizations and users came, day by day, and how many users an organization has. Kept up in the
//! transaction of the change, so that nobody ever counts them.

use super::PLATFORM_ORG_ID;
use super::login_events::day_of;
use crate::clock::Millis;
use crate::engine::WriteTx;
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    ADD_GROWTH = "INSERT INTO platform_days (day, new_organizations, new_users, new_end_users, erased_end_users) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (day) DO UPDATE SET \
        new_organizations = platform_days.new_organizations + excluded.new_organizations, \
        new_users = platform_days.new_users + excluded.new_users, \
        new_end_users = platform_days.new_end_users + excluded.new_end_users, \
        erased_end_users = platform_days.erased_end_users + excluded.erased_end_users";
    ADD_USERS = "INSERT INTO organization_totals (org_id, users) VALUES ($1, $2) \
        ON CONFLICT (org_id) DO UPDATE SET users = organization_totals.users + excluded.users";
}

/// An organization was registered.
pub(crate) fn organization_came(tx: &mut WriteTx<'_>, now: Millis) -> Result<(), StoreError> {
    tx.execute(ADD_GROWTH, values![day_of(now), 1, 0, 0, 0])?;
    Ok(())
}

/// Somebody has an account now.
pub(crate) fn user_came(tx: &mut WriteTx<'_>, org_id: i64, now: Millis) -> Result<(), StoreError> {
    let of_organization = i64::from(org_id != PLATFORM_ORG_ID);
    tx.execute(ADD_GROWTH, values![day_of(now), 0, 1, of_organization, 0])?;
    tx.execute(ADD_USERS, values![org_id, 1])?;
    Ok(())
}

/// An end user was erased.
pub(crate) fn end_user_erased(tx: &mut WriteTx<'_>, org_id: i64, now: Millis) -> Result<(), StoreError> {
    tx.execute(ADD_GROWTH, values![day_of(now), 0, 0, 0, 1])?;
    tx.execute(ADD_USERS, values![org_id, -1])?;
    Ok(())
}
