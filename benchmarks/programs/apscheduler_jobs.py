"""apscheduler_jobs.py FILE SECOND: as APScheduler's documents show it, with asyncio; output is kept in memory.

FILE is JSON: pairs of a cron expression and a command.
"""

import asyncio
import json
import sys
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler


async def run(command: str) -> None:
    """Run the command and read what it prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_shell(command, stdout=pipe, stderr=pipe, start_new_session=True)
    said, _ = await process.communicate()
    if said:
        print("in memory:", len(said), flush=True)


async def main(jobs: list[tuple[str, str]]) -> None:
    """Schedule all and wait."""
    scheduler = AsyncIOScheduler()
    for schedule, command in jobs:
        minute, hour, day, month, weekday = schedule.split()
        fields = {"minute": minute, "hour": hour, "day": day, "month": month, "day_of_week": weekday}
        scheduler.add_job(run, "cron", **fields, second=sys.argv[2], args=[command], misfire_grace_time=60)
    scheduler.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
