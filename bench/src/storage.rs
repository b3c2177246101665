//! A bare loop over SQLite, one thread, with the statements and pragmas of the service: what its storage is measured
//! against.

use std::error::Error;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

const INSERT: &str = "INSERT INTO device_codes (secret_hash, org_id, service_id, scope, status, requested_from, user_agent, \
    created_at, expires_at) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8) RETURNING id";
const POLL: &str = "SELECT secret_hash, service_id, status, expires_at FROM device_codes WHERE id = $1";

/// Rows inserted and read a second, as a line of JSON; `period` for each of the four loops.
pub fn measure(database: &str, period: Duration) -> Result<String, Box<dyn Error>> {
    let mut connection = Connection::open(database)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    let single = inserts(&mut connection, 1, period, &mut seed)?;
    let group_64 = inserts(&mut connection, 64, period, &mut seed)?;
    let group_256 = inserts(&mut connection, 256, period, &mut seed)?;
    let reads = polls(&mut connection, period)?;
    Ok(format!(
        "{{\"insert_1\":{single:.0},\"insert_64\":{group_64:.0},\"insert_256\":{group_256:.0},\"read\":{reads:.0}}}"
    ))
}

/// Rows a second, so many in each durable transaction.
fn inserts(
    connection: &mut Connection,
    rows: u32,
    period: Duration,
    seed: &mut u64,
) -> Result<f64, Box<dyn Error>> {
    let (begun, mut written) = (Instant::now(), 0_u32);
    while begun.elapsed() < period {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for _ in 0..rows {
                let secret = [next(seed).to_le_bytes(); 4].concat();
                let end = 4_102_444_800_000_i64;
                let values = params![secret, 2, 3, "openid", "127.0.0.1", "bench", 0, end];
                insert.query_row(values, |row| row.get::<_, i64>(0))?;
            }
        }
        transaction.commit()?;
        written += rows;
    }
    Ok(f64::from(written) / begun.elapsed().as_secs_f64())
}

/// Point reads a second, each in a transaction of its own.
fn polls(connection: &mut Connection, period: Duration) -> Result<f64, Box<dyn Error>> {
    let (first, last): (i64, i64) =
        connection.query_row("SELECT MIN(id), MAX(id) FROM device_codes", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (begun, mut read, mut id) = (Instant::now(), 0_u32, first);
    while begun.elapsed() < period {
        let transaction = connection.transaction()?;
        transaction.prepare_cached(POLL)?.query_row([id], |row| row.get::<_, Vec<u8>>(0)).or_else(missing)?;
        drop(transaction);
        id = if id >= last { first } else { id + 1 };
        read += 1;
    }
    Ok(f64::from(read) / begun.elapsed().as_secs_f64())
}

fn missing(error: rusqlite::Error) -> rusqlite::Result<Vec<u8>> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(Vec::new()) } else { Err(error) }
}

/// Xorshift: secrets have to differ, no more.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
