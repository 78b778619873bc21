"""Drives OpenAI's own client through the whole Evals API of a server, and stops at the first surprise.

    python scripts/openai_evals.py http://127.0.0.1:4318/v1

`scripts/snippets.py` runs it with several versions of the client, against a server whose model is examples/fake_model.py.
"""

import sys
import time
from pathlib import Path

import openai

EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{ sample.output_text }}",
    "operation": "eq",
    "reference": "{{ item.label }}",
}
CLOSE = {
    "type": "text_similarity",
    "name": "close",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "evaluation_metric": "fuzzy_match",
    "pass_threshold": 0.8,
}
ASKED = [{"role": "developer", "content": "Judge."}, {"role": "user", "content": "{{sample.output_text}}"}]
SCORE = {"type": "score_model", "name": "score", "model": "gpt-4.1-mini", "input": ASKED, "pass_threshold": 0.5}
LABEL = {
    "type": "label_model",
    "name": "label",
    "model": "gpt-4.1-mini",
    "input": ASKED,
    "labels": ["good", "bad"],
    "passing_labels": ["good"],
}
PYTHON = {"type": "python", "name": "py", "source": "def grade(sample, item):\n    return 1.0\n", "pass_threshold": 0.5}
CONFIG = {
    "type": "custom",
    "include_sample_schema": True,
    "item_schema": {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]},
}
ROWS = [{"item": {"label": "a"}, "sample": {"output_text": said}} for said in ("a", "b", "a")]


def inline(rows):
    return {"type": "jsonl", "source": {"type": "file_content", "content": rows}}


def finished(client, run):
    for _ in range(600):
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
        if run.status not in ("queued", "in_progress"):
            return run
        time.sleep(0.05)
    raise AssertionError(f"{run.id} does not end")


def files(client, folder):
    path = folder / "rows.jsonl"
    path.write_text("".join(f'{{"item": {{"label": "a"}}, "sample": {{"output_text": "{said}"}}}}\n' for said in "aba"))
    with path.open("rb") as content:
        kept = client.files.create(file=content, purpose="evals")
    assert (kept.filename, kept.bytes, kept.object) == ("rows.jsonl", path.stat().st_size, "file"), kept
    assert client.files.retrieve(kept.id).id == kept.id
    assert client.files.content(kept.id).text == path.read_text()
    assert kept.id in [one.id for one in client.files.list(purpose="evals")]
    return kept


def evals(client):
    made = [client.evals.create(name=f"E{n}", data_source_config=CONFIG, testing_criteria=[EXACT, CLOSE]) for n in range(3)]
    ids = [eval.id for eval in made]
    assert [eval.id for eval in client.evals.list(limit=2) if eval.id in ids] == ids, "pages in the order of making"
    changed = client.evals.update(ids[0], name="F", metadata={"team": "qa"})
    assert (changed.name, changed.metadata) == ("F", {"team": "qa"}), changed
    newest = next(iter(client.evals.list(order="desc", order_by="updated_at", limit=1)))
    assert newest.id == ids[0], newest
    assert client.evals.retrieve(ids[0]).data_source_config.schema_["required"] == ["item", "sample"]
    logs = client.evals.create(data_source_config={"type": "logs", "metadata": {"k": "v"}}, testing_criteria=[EXACT])
    for id in [*ids[1:], logs.id]:
        assert client.evals.delete(id).deleted
    return made[0]


def runs(client, eval, file):
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    for data_source in (inline(ROWS), source):
        run = client.evals.runs.create(eval.id, name="r", data_source=data_source, metadata={"k": "v"})
        assert run.status == "queued", run
        run = finished(client, run)
        counts = run.result_counts
        assert (run.status, counts.total, counts.passed, counts.failed, counts.errored) == ("completed", 3, 2, 1, 0), run
        ids = [criterion.id for criterion in eval.testing_criteria]
        assert [(one.testing_criteria, one.passed) for one in run.per_testing_criteria_results] == [(id, 2) for id in ids], run
    items = list(client.evals.runs.output_items.list(run.id, eval_id=eval.id, limit=2))
    assert [item.status for item in items] == ["pass", "fail", "pass"], items
    assert [item.datasource_item_id for item in items] == [0, 1, 2]
    failed = list(client.evals.runs.output_items.list(run.id, eval_id=eval.id, status="fail"))
    assert [item.id for item in failed] == [items[1].id]
    one = client.evals.runs.output_items.retrieve(items[1].id, eval_id=eval.id, run_id=run.id)
    assert (one.sample.output[0].content, one.results[0].score, one.results[0].passed) == ("b", 0, False), one
    done = [run.id for run in client.evals.runs.list(eval.id, status="completed", limit=1)]
    assert len(done) == 2, done
    brought_along(client, eval, run)
    assert client.evals.runs.delete(run.id, eval_id=eval.id).deleted


def asked(client):
    """Runs that ask models: one under test, and those that judge."""
    eval = client.evals.create(data_source_config=CONFIG, testing_criteria=[SCORE, LABEL, EXACT])
    source = {
        "type": "responses",
        "model": "gpt-5-mini",
        "source": {"type": "file_content", "content": [{"item": {"label": "It is sunny in Paris."}}]},
        "input_messages": {"type": "template", "template": [{"role": "user", "content": "Weather? {{ item.label }}"}]},
        "sampling_params": {"max_completion_tokens": 50},
    }
    run = finished(client, client.evals.runs.create(eval.id, data_source=source))
    assert (run.status, run.result_counts.passed, run.model) == ("completed", 1, "gpt-5-mini"), run
    assert sum(use.invocation_count for use in run.per_model_usage) == 3, run.per_model_usage
    item = next(iter(client.evals.runs.output_items.list(run.id, eval_id=eval.id)))
    assert item.sample.output[0].content == "It is sunny in Paris.", item
    rows = [{"item": {"label": str(n)}, "sample": {"output_text": "x"}} for n in range(2_000)]
    run = client.evals.runs.create(eval.id, data_source=inline(rows))
    canceled = client.evals.runs.cancel(run.id, eval_id=eval.id)
    assert canceled.status == "canceled", canceled
    client.evals.delete(eval.id)


def traces(client):
    """Our own graders are criteria of an eval over traces; the client sends and reads what it does not know."""
    call = {"type": "function", "name": "find", "input": "{}", "output": "A-17"}
    for id, error in (("trace_good", None), ("trace_bad", {"message": "no such order", "data": None})):
        times = {"started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:01Z"}
        span = {"object": "trace.span", "id": f"span_{id}", "trace_id": id, "span_data": call, "error": error, **times}
        body = {"data": [{"object": "trace", "id": id, "workflow_name": "stock client"}, span]}
        client.post("/traces/ingest", cast_to=object, body=body)
    config = {"type": "traces"}
    criteria = [
        {"type": "rule", "name": "clean", "check": "tool_errors == 0"},
        {"type": "multi", "name": "both", "graders": {"a": {"type": "rule", "check": "tool_calls == 1"}},
         "calculate_output": "a", "pass_threshold": 1},
    ]
    eval = client.evals.create(data_source_config=config, testing_criteria=criteria)
    assert [one.type for one in eval.testing_criteria] == ["rule", "multi"], eval
    source = {"type": "traces", "source": {"type": "traces", "filter": {"workflow_name": "stock client"}}}
    run = finished(client, client.evals.runs.create(eval.id, data_source=source))
    assert (run.status, run.result_counts.passed, run.result_counts.failed) == ("completed", 1, 1), run
    item = next(iter(client.evals.runs.output_items.list(run.id, eval_id=eval.id, status="fail")))
    clean = next(result for result in item.results if result.name == eval.testing_criteria[0].id)
    assert (clean.score, clean.passed, clean.outcome, clean.citations) == (0, False, "fail", ["span_trace_bad"]), clean
    for named in (["library:goal_reached"], [{"name": "nobody"}]):
        try:
            made = client.evals.create(data_source_config=config, testing_criteria=named)
            assert made.testing_criteria[0].grader["id"] == "library:goal_reached", made
            assert client.evals.delete(made.id).deleted
        except openai.NotFoundError as error:
            raise AssertionError("a name that is not known is a mistake of the request") from error
        except openai.BadRequestError as error:
            assert "nobody" in str(error), error
    assert client.evals.delete(eval.id).deleted


def brought_along(client, eval, run):
    """What was graded elsewhere is read like everything else. Here the elsewhere is this server."""
    items = list(client.evals.runs.output_items.list(run.id, eval_id=eval.id))
    told = [[one.to_dict() for one in list] for list in ([eval], [run], items)]
    body = dict(zip(("evals", "runs", "output_items"), told))
    for outcome in ("added", "there"):
        answer = client.post("/evals/import", cast_to=object, body=body)
        outcomes = {one["outcome"] for list in ("evals", "runs", "output_items") for one in answer[list]}
        assert outcomes == {outcome}, answer
    kept_eval, kept_run = answer["evals"][0]["id"], answer["runs"][0]["id"]
    kept = client.evals.runs.retrieve(kept_run, eval_id=kept_eval)
    assert (kept.imported, kept.openai_run_id, kept.status) == (True, run.id, "completed"), kept
    assert kept.result_counts == run.result_counts and kept.created_at == run.created_at, kept
    assert [one.id for one in client.evals.runs.list(kept_eval)] == [kept_run]
    pages = list(client.evals.runs.output_items.list(kept_run, eval_id=kept_eval, limit=1))
    assert [one.openai_output_item_id for one in pages] == [one.id for one in items], pages
    assert [one.results for one in pages] == [one.results for one in items]
    try:
        client.evals.runs.cancel(kept_run, eval_id=kept_eval)
        raise AssertionError("a run that is over was canceled")
    except openai.BadRequestError:
        pass
    assert client.evals.delete(kept_eval).deleted


def graders(client):
    both = {"type": "multi", "name": "m", "graders": {"a": EXACT, "b": CLOSE}, "calculate_output": "0.5 * a + 0.5 * b"}
    for grader in (EXACT, CLOSE, SCORE, both, PYTHON):
        valid = client.fine_tuning.alpha.graders.validate(grader=grader)
        assert valid.grader.name == grader["name"], valid
        answer = client.fine_tuning.alpha.graders.run(grader=grader, model_sample="a", item={"label": "a"})
        assert answer.metadata.errors.python_grader_server_error or answer.reward == 1.0, answer
        assert answer.metadata.name == grader["name"], answer


def mistakes(client):
    def refused(kind, call):
        try:
            call()
        except kind as error:
            return error
        raise AssertionError(f"not refused as {kind}")

    error = refused(openai.NotFoundError, lambda: client.evals.retrieve("eval_x"))
    assert (error.code, error.type) == ("not_found", "invalid_request_error") and error.request_id, error
    broken = {**CLOSE, "evaluation_metric": "vibes"}
    error = refused(
        openai.BadRequestError, lambda: client.evals.create(data_source_config=CONFIG, testing_criteria=[broken])
    )
    assert error.param == "testing_criteria[0].evaluation_metric", error
    refused(openai.BadRequestError, lambda: client.fine_tuning.alpha.graders.validate(grader=LABEL))


def main(base_url, folder):
    client = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)
    file = files(client, folder)
    eval = evals(client)
    runs(client, eval, file)
    asked(client)
    traces(client)
    graders(client)
    mistakes(client)
    assert client.evals.delete(eval.id).deleted
    assert client.files.delete(file.id).deleted
    print(f"openai {openai.__version__}: the whole cycle")


if __name__ == "__main__":
    main(sys.argv[1], Path.cwd())
