"""schedule_jobs.py FILE SECOND: the loop that the documents of `schedule` show, with a process for each job.

FILE is JSON: pairs of a cron expression and a command; of the expressions, only every minute or never is known.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import schedule

second = int(sys.argv[2])
for expression, command in json.loads(Path(sys.argv[1]).read_text()):
    often = schedule.every().minute.at(f":{second:02}") if expression == "* * * * *" else schedule.every(500).weeks
    often.do(subprocess.Popen, ["/bin/sh", "-c", command], stdout=subprocess.DEVNULL, start_new_session=True)
print("ready", flush=True)
while True:
    schedule.run_pending()
    time.sleep(1)
