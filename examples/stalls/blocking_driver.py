"""A FastAPI endpoint that is declared `async` and asks a driver that blocks: one slow query holds up every request.

The watcher names the line of the endpoint and the database that it waits for. The same endpoint without `async` is run
in a thread by FastAPI; an asynchronous driver (asyncmy, aiomysql, asyncpg, psycopg) needs none.

    epicycle run --watch examples/stalls/blocking_driver.py --port 8000
    curl http://127.0.0.1:8000/report
    curl http://127.0.0.1:8000/report-cured

It wants MariaDB or MySQL at EPICYCLE_MYSQL_URL, by default mysql://root@127.0.0.1:3306/test.
"""

import argparse
import os
from urllib.parse import unquote, urlsplit

import pymysql
import uvicorn
from fastapi import FastAPI

DATABASE = urlsplit(os.environ.get("EPICYCLE_MYSQL_URL") or "mysql://root@127.0.0.1:3306/test")

app = FastAPI()


def query(statement: str) -> list[tuple[object, ...]]:
    connection = pymysql.connect(
        host=DATABASE.hostname,
        port=DATABASE.port or 3306,
        user=unquote(DATABASE.username or ""),
        password=unquote(DATABASE.password or ""),
        database=DATABASE.path.lstrip("/"),
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@app.get("/report")
async def report() -> dict[str, int]:
    return {"rows": len(query("SELECT SLEEP(2)"))}


@app.get("/report-cured")
def report_cured() -> dict[str, int]:
    return {"rows": len(query("SELECT SLEEP(2)"))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve one slow report, with and without blocking the loop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose (default: 8000)")
    args = parser.parse_args()
    uvicorn.run(app, host=args.host, port=args.port, loop="epicycle:new_event_loop")


if __name__ == "__main__":
    main()
