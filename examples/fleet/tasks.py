"""Celery tasks whose workers share what Bedrock holds. From the top of the repository:

export CACHEPOINT_KEY=… CACHEPOINT_MEMORY=redis://127.0.0.1:6379/0
celery --workdir examples/fleet -A tasks worker --concurrency 4
python examples/fleet/tasks.py
"""

import os
from typing import Any

from app import ask as answered
from celery import Celery

# The memory's server may carry the tasks, in a database of their own; its deadlines are short, so in
# production they have one to themselves.
BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379/1")
app = Celery("tasks", broker=BROKER, backend=BROKER)
app.conf.broker_connection_retry_on_startup = True


@app.task
def ask(question: str) -> dict[str, Any]:
    """As the web service does, by the client of this worker."""
    return answered(question)


if __name__ == "__main__":
    questions = ("What does wrap do?", "What does fill do?", "What does dedent do?", "What does indent do?")
    waiting = [ask.delay(question) for question in questions * 3]
    for result in waiting:
        got = result.get(timeout=60)
        print(f"worker {got['worker']}: {got['read']} read, {got['written']} written")
