"""Looks into a database as kill -9 left it: a copy of the file and its log, opened by another build of SQLite.

Reads {"events": [...]} from standard input, prints what is wrong and what is missing as JSON.
"""

import json
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
wanted = json.load(sys.stdin)
problems = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
problems += [f"foreign key: {row}" for row in database.execute("PRAGMA foreign_key_check")]
# A family has one token that was not used, and every token that was used has the successor that it names.
problems += [
    f"session {session} has {tokens} refresh tokens that are not used"
    for session, tokens in database.execute(
        "SELECT session_id, SUM(used_at IS NULL) FROM refresh_tokens GROUP BY session_id HAVING SUM(used_at IS NULL) > 1"
    )
]
problems += [
    f"refresh token {token} was used and has no successor"
    for (token,) in database.execute(
        "SELECT t.id FROM refresh_tokens t LEFT JOIN refresh_tokens n ON n.id = t.successor_id "
        "WHERE t.used_at IS NOT NULL AND t.successor_id IS NOT NULL AND n.id IS NULL"
    )
]
stored = {row[0] for row in database.execute("SELECT event_id FROM stripe_events")}
print(json.dumps({"problems": problems, "missing": [event for event in wanted["events"] if event not in stored]}))
