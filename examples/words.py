"""A workflow in Python, by Hera, for who has `oarlock serve --executor local` running: python examples/words.py"""

from hera.workflows import Steps, Workflow, WorkflowsService, script


@script()
def count(text: str) -> None:
    print(len(text.split()))


@script()
def say(words: int) -> None:
    print(f"That was {words} words.")


service = WorkflowsService(host="http://localhost:2746")
with (
    Workflow(generate_name="words-", namespace="default", entrypoint="main", workflows_service=service) as workflow,
    Steps(name="main"),
):
    counted = count(arguments={"text": "the oar meets the boat at the oarlock"})
    say(arguments={"words": counted.result})

workflow.create(wait=True, poll_interval=1)
