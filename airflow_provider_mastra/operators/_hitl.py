"""What the operators have in common that ask people what a run of a workflow asks."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException, Context

from airflow_provider_mastra.hitl._downstream_gates import ADVICE, gate_follows
from airflow_provider_mastra.hitl._required_action import (
    CANCEL,
    Asked,
    Notice,
    Reply,
    as_notifiers,
    as_users,
    park,
    put_up,
)
from airflow_provider_mastra.hitl._state import Memory
from airflow_provider_mastra.operators._responding import MastraAnsweringTask
from airflow_provider_mastra.triggers.hitl import MastraQuestionTrigger
from airflow_provider_mastra.utils.xcoms import escape_keys
from mastra_workflows import OnSuspend, Run, WorkflowRun
from mastra_workflows.errors import (
    ConfigurationError,
    InvalidResumeDataError,
    MastraError,
    ServerLostError,
)
from mastra_workflows.models import JSON, named
from mastra_workflows.policy import as_seconds, is_outage, require_positive
from mastra_workflows.questions import (
    ASK,
    Answers,
    AskOptions,
    OnResponseTimeout,
    Question,
    first_of_each_step,
    questions,
)
from mastra_workflows.schemas import validation_errors

if TYPE_CHECKING:
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser


class MastraAskingTask(MastraAnsweringTask):
    """The base of the operators that can ask a person what a suspended step wants to know.

    With ``on_suspend="ask"`` the task shows a form on Airflow's page of required actions, made of
    the step's resume schema and its suspend payload, with the buttons "Resume" and "Cancel run".
    Until somebody answers, the task holds no worker, no pool slot and no triggerer (on Airflow 3.1
    and 3.2: a triggerer). An answer that does not fit the schema is refused, and asked for again;
    the log and the XCom ``refused_answer`` say why. A good one resumes the run, and the task waits
    for it as before.

    Airflow keeps one form for a task instance, the first one, through retries and clears. So a task
    asks one question, in whatever number of rounds that look the same. For the others put gates
    after it: `airflow_provider_mastra.hitl.gates` has them.

    A person's time counts neither towards ``timeout`` nor towards ``execution_timeout``; both begin
    anew when the run goes on. A task that is killed or marked while it waits for a person has no
    process that could cancel its run: the run stays suspended, and executes nothing.

    Args:
        on_suspend: what a suspension is while waiting: ``"ask"`` asks; the others are those of
            `MastraWaitingTask`.
        answers: answers by code, so that a person is asked only for what is left. Resume data, or a
            callable that is given the `Question` and returns it, by the step's name (``approve``,
            ``inner.approve``, ``review[2]``); or one callable for all. A callable that returns
            `mastra_workflows.questions.ASK` leaves the question to a person. (templated)
        assigned_users: who may answer, as ``{"id": …, "name": …}``, one or several; None for
            everybody whom Airflow allows to.
        notifiers: called when a person is asked, with the `Question` as ``mastra_question`` in the
            context; and again when an answer was refused, with the reason as ``mastra_refusal``.
            What the question holds is text of the server: it is rendered by no template, but a
            notifier has to escape it for HTML or Markdown, as `Question.body` does for Markdown.
        response_timeout: for how long to wait for a person, in seconds or as a timedelta; None for
            as long as it takes. It begins anew with each try.
        on_response_timeout: what happens then: ``"fail"`` fails the task, and leaves the run
            suspended, ``"cancel"`` cancels the run and fails, ``"answer"`` gives the
            ``default_answer``.
        default_answer: the resume data for that. (templated)
        look_interval: seconds between two looks at the run while a person is asked: whether
            somebody has answered elsewhere, or the run is over.
        **kwargs: see `MastraWaitingTask`.

    Raises:
        ConfigurationError: an option is out of its range, or two do not fit together.
    """

    is_gate: ClassVar[bool] = False
    """Whether the task asks what the ones before it have left."""

    def __init__(
        self,
        *,
        on_suspend: OnSuspend | Literal["ask"] = "fail",
        answers: Answers | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] | None = None,
        response_timeout: float | timedelta | None = None,
        on_response_timeout: OnResponseTimeout = "fail",
        default_answer: JSON = None,
        look_interval: float = 300.0,
        **kwargs: Any,
    ) -> None:
        self.asks = on_suspend == "ask"
        super().__init__(on_suspend="return" if on_suspend == "ask" else on_suspend, **kwargs)
        # Airflow would call a callable in a templated field.
        self.answers = None if callable(answers) else answers
        self._answers_of_callable = answers if callable(answers) else None
        self.assigned_users = as_users(assigned_users)
        self.notifiers = as_notifiers(notifiers)
        self.response_timeout = (
            None if response_timeout is None else as_seconds("response_timeout", response_timeout)
        )
        self.on_response_timeout = on_response_timeout
        self.default_answer = default_answer
        self.look_interval = as_seconds("look_interval", look_interval)
        require_positive(look_interval=self.look_interval)
        # So that a DAG with a bad value is not even imported. A template is checked when it is
        # rendered.
        options = self._ask_options(answers if isinstance(answers, Mapping) else None)
        if not self.asks and (answers is not None or options != AskOptions()):
            raise ConfigurationError('Options about questions need on_suspend="ask".')
        if self.asks and not self.wait_for_completion:
            raise ConfigurationError('on_suspend="ask" needs wait_for_completion.')

    def check_rendered(self) -> None:
        """As the base class, and ``answers``."""
        super().check_rendered()
        if self.asks:
            self._ask_options(self.answers)

    def _ask_options(self, answers: Answers | None) -> AskOptions:
        return AskOptions(
            answers=self._answers_of_callable or answers,
            response_timeout=self.response_timeout,
            on_response_timeout=self.on_response_timeout,
            default_answer=self.default_answer,
        )

    def is_mine(self, question: Question) -> bool:
        """Whether the task answers a question of its run."""
        return True

    def conclude(self, run: Run, record: WorkflowRun, context: Context) -> dict[str, JSON]:
        """Answer what the run asks by code as far as that goes; then ask a person.

        Returns:
            The outcome of a run that is over, or that asks what a gate after this task will ask;
            with ``on_suspend="ask"`` with ``answers`` in it: who answered what, and when.

        Raises:
            AirflowFailException: a question is left, and no gate is there to ask it.
            TaskAwaitingInput: Airflow's own way to wait for a person; then `on_answer` goes on.
        """
        memory = Memory(context, run.run_id)
        options = self._ask_options(self.answers)
        while self.asks and (mine := self._mine(record)):
            by_code = ((question, options.by_code(question)) for question in mine)
            found = next((pair for pair in by_code if pair[1] is not ASK), None)
            if found is not None:
                self.give_answer(self.current(run), *found, memory, by="code")
            elif (kept := self._kept_reply(mine, memory)) is not None:
                question, reply = kept
                self.log.info("Delivering an answer that an earlier try could not deliver.")
                self._take(run, Asked.of(question, self.response_timeout), reply, context)
            else:
                self._ask_person(mine, memory, context)
                break
            record = self.wait(run)
        return self.outcome(record, run, context)

    def outcome(self, record: WorkflowRun, run: Run, context: Context) -> dict[str, JSON]:
        """The outcome of a wait; with ``on_suspend="ask"`` it has ``answers`` too."""
        if not self.asks:
            return super().outcome(record, run, context)
        answers = escape_keys(Memory(context, run.run_id).answers)
        if self.multiple_outputs and self.do_xcom_push:
            context["ti"].xcom_push(key="answers", value=answers)
        return {**super().outcome(record, run, context), "answers": answers}

    def _mine(self, record: WorkflowRun) -> list[Question]:
        """What of that which a run asks the task has to answer; one of what one answer is for."""
        url = self.hook.run_url(record.workflow_id, record.run_id)
        mine = [question for question in questions(record, url) if self.is_mine(question)]
        if len(mine) > 1 and not self.hook.get_conn().supports_for_each_index():
            mine = first_of_each_step(mine)
        return mine

    def _ask_person(self, left: Sequence[Question], memory: Memory, context: Context) -> None:
        """Ask the first question that is left; return if a gate after this task is to ask it."""
        has_gate = gate_follows(context["task"])
        if len(left) > 1 and not has_gate:
            names = named([question.suspension for question in left])
            raise AirflowFailException(
                f"Run {left[0].run_id!r} of workflow {left[0].workflow_id!r} asks several "
                f"questions at once ({names}), and a task can ask only one. {ADVICE}"
            )
        waiting = next((one for one in left if self._is_on_the_page(one, memory)), None)
        has_asked = waiting is not None
        if waiting is None:
            question = left[0]
            self._check_default_answer(question)
            notice = Notice.of(question, *self._remarks())
            if not memory.may_ask(notice) or not memory.is_shown(
                notice, put_up(context["ti"].id, notice, self.assigned_users)
            ):
                if has_gate:
                    self.log.info("%s, which the next gate will ask for.", question)
                    return
                raise AirflowFailException(self._why_not_asked(question, memory))
            if (lost := memory.undelivered_before) is not None:
                self.log.warning(
                    "The task was cleared before the answer of %s, given at %s to the run before, "
                    "was delivered. It is asked for again.",
                    lost,
                    lost.at,
                )
            memory.note_asked(question, notice)  # from now on somebody may answer
            self._notify(question, context)
            waiting = question
        where = f"; see {waiting.url}" if waiting.url else ""
        self.log.info("%s. It is asked on Airflow's page of required actions%s", waiting, where)
        self._park(Asked.of(waiting, self.response_timeout), context, may_be_answered=has_asked)

    def _kept_reply(
        self, left: Sequence[Question], memory: Memory
    ) -> tuple[Question, Reply] | None:
        for question in left:
            reply = memory.undelivered_to(question)
            if reply is not None:
                return question, reply
        return None

    def _is_on_the_page(self, question: Question, memory: Memory) -> bool:
        """Whether the page shows the question as it is now."""
        return memory.has_asked(question) and not memory.has_other_form(Notice.of(question))

    def _why_not_asked(self, question: Question, memory: Memory) -> str:
        if not memory.has_asked(question):
            return (
                f"{question}, and this task cannot ask for it: Airflow keeps the form of the "
                f"question that the task asked first. {ADVICE}"
            )
        where = f" at {question.url}" if question.url else ""
        return (
            f"{question}, but what it takes has changed since it was asked (resume schema). The "
            "form on the page is the old one: Airflow keeps one form for a task instance, also "
            f"when it is cleared. Resume or cancel the run{where} or by its API, or run the DAG "
            f"again. For the next time: {ADVICE}"
        )

    def _remarks(self) -> Iterable[str]:
        """What a person has to know about the time they have."""
        if self.response_timeout is None:
            return
        time_left = timedelta(seconds=self.response_timeout)
        what = {
            "fail": "this task fails",
            "cancel": "the run is cancelled",
            "answer": "a default answer is given",
        }[self.on_response_timeout]
        yield f"Without an answer within {in_words(time_left)}, {what}."

    def _check_default_answer(self, question: Question) -> None:
        """Say now, and not when everybody has gone, that the default answer does not fit."""
        wrong = validation_errors(question.suspension.resume_schema or {}, self.default_answer)
        if self.default_answer is not None and wrong:
            raise InvalidResumeDataError(
                f"The default_answer does not fit: {'; '.join(wrong)}. {question}.",
                validation_errors=wrong,
            )

    def _notify(self, question: Question, context: Context, refusal: str = "") -> None:
        more: dict[str, Any] = {"mastra_question": question, "mastra_refusal": refusal}
        for notifier in self.notifiers:
            try:
                # A copy: a notifier renders its template fields in place, so the next call would
                # render the text of the server that this one has put into them.
                copy.copy(notifier)({**context, **more})
            except Exception:  # the form is on the page whether or not everybody has heard of it
                self.log.exception("A notifier failed; the question is asked all the same.")

    def _park(self, asked: Asked, context: Context, *, may_be_answered: bool = False) -> NoReturn:
        """Give the worker back until somebody answers, or it is time to look.

        Where the form may have its answer by now, the triggerer looks at it first, and takes its
        time: Airflow would wake a parked task at once, and fail it when that is before its
        scheduler has heard that this process has ended; and so each try.
        """
        self._under_way = None
        seconds = self.look_interval
        if asked.deadline is not None:
            seconds = min(seconds, max(1.0, asked.deadline - time.time()))
        kwargs = {"asked": asked.to_text()}
        if may_be_answered:
            wake_at: float | None = time.time()
        else:
            park("on_answer", kwargs, seconds)
            wake_at = None if asked.deadline is None else time.time() + seconds
        self.defer(
            trigger=MastraQuestionTrigger(
                mastra_conn_id=self.mastra_conn_id,
                ti_id=str(context["ti"].id),
                asked=asked.to_text(),
                wake_at=wake_at,
            ),
            method_name="on_answer",
            kwargs=kwargs,
        )

    def on_answer(
        self, context: Context, event: Mapping[str, Any], asked: str | None = None
    ) -> dict[str, JSON]:
        """Go on after a person has answered, or look whether they still have to.

        Returns and raises: as `execute`; and AirflowFailException when a person cancelled the run,
        or nobody answered in time.
        """
        waiting = Asked.from_text(asked or event["asked"])
        question = waiting.question
        with self.conducting(context):
            workflow = self.hook.get_conn().get_workflow(question.workflow_id)
            run = self._under_way = workflow.get_run(question.run_id)
            reply = Reply.of(event)
            if reply is None:
                self._look(run, waiting, context, has_read_form="asked" in event)
            else:
                self._take(run, waiting, reply, context)
            outcome = self.conclude(run, self.wait(run), context)
            self._under_way = None
            return outcome

    def execute_complete(self, context: Context, event: Any) -> dict[str, JSON]:
        """As `MastraWaitingTask.execute_complete`.

        While the task is deferred, the page still shows a form that nobody has answered here; an
        answer to it wakes the task too.
        """
        if (reply := Reply.of(event)) is None:
            return super().execute_complete(context, event)
        ti = context["ti"]
        run_id = ti.xcom_pull(task_ids=self.task_id, key="run_id", map_indexes=ti.map_index)
        with self.conducting(context):
            self.log.warning("%s has answered a question that is asked no more.", reply)
            run = self._under_way = (
                self.hook.get_conn().get_workflow(self.workflow_id).get_run(run_id)
            )
            outcome = self.conclude(run, self.wait(run), context)
            self._under_way = None
            return outcome

    def _look(self, run: Run, waiting: Asked, context: Context, *, has_read_form: bool) -> None:
        """Return if the question needs no answer any more; otherwise wait on for one.

        Args:
            has_read_form: whether the triggerer has just seen that the form has no answer. The page
                takes one while a task whose time is over waits for a worker, which cannot see it.
        """
        try:
            record = run.read()
        except MastraError as error:
            if waiting.is_late or not (is_outage(error) or isinstance(error, ServerLostError)):
                raise
            self.log.warning("The question is asked on; the server did not answer: %s", error)
            self._park(waiting, context)
        if not waiting.question.is_open(record):
            self.log.info("The question needs no answer any more. %s.", record)
        elif waiting.is_late and has_read_form:
            self._nobody_answered(run, waiting.question, context)
        elif waiting.is_late:
            self.log.info("The time for an answer is over; looking at the form for the last time.")
            self._park(waiting, context, may_be_answered=True)
        elif _takes_something_else(record, waiting.question):
            self.log.warning("What the step takes has changed since it was asked for. %s.", record)
        else:
            self.log.info("Nobody has answered yet. %s.", record)
            self._park(waiting, context)

    def _nobody_answered(self, run: Run, question: Question, context: Context) -> None:
        late = f"Nobody has answered within {self.response_timeout:g} s"
        self.log.warning("%s. on_response_timeout is %r.", late, self.on_response_timeout)
        if self.on_response_timeout == "answer":
            memory = Memory(context, run.run_id)
            self.give_answer(run, question, self.default_answer, memory, by="default")
            return
        if self.on_response_timeout == "cancel":
            raise AirflowFailException(f"{late}, so the run was cancelled. {run.cancel()}")
        where = f" at {question.url}" if question.url else ""
        raise AirflowFailException(
            f"{late}. {question}, and waits on: resume or cancel it{where}, or clear this task to "
            "ask again."
        )

    def _take(self, run: Run, waiting: Asked, reply: Reply, context: Context) -> None:
        """Resume the run with a person's answer, or cancel it; ask again if that does not fit."""
        question = waiting.question
        self.log.info("%s pressed %r at %s.", reply, reply.option, reply.at)
        if reply.option == CANCEL:
            cancellation = self.deliver(reply, run, lambda current, _: current.cancel())
            raise AirflowFailException(f"{reply} has cancelled the run. {cancellation}")
        memory = Memory(context, run.run_id)
        try:
            answer = question.form.answer(reply.values)
            memory.note_undelivered(question, reply)

            def resume(current: Run, patience: float) -> None:
                who: Any = {"by": "person", "user": reply.user, "at": reply.at}
                who["outage_timeout"] = patience
                self.give_answer(current, question, answer, memory, **who)

            self.deliver(reply, run, resume)
        except InvalidResumeDataError as error:
            self._refuse(run, waiting, reply, error, context)
        memory.forget_undelivered()

    def _refuse(
        self,
        run: Run,
        waiting: Asked,
        reply: Reply,
        error: InvalidResumeDataError,
        context: Context,
    ) -> None:
        """Say why an answer is refused, and ask again; return if the form is not the right one."""
        question = waiting.question
        is_outdated = _takes_something_else(self.current(run).read(), question)
        refusal = {
            "user": reply.user,
            "at": reply.at,
            "problems": list(error.validation_errors),
            "form_is_outdated": is_outdated,
        }
        context["ti"].xcom_push(key="refused_answer", value=refusal)
        self._notify(question, context, str(error))
        if is_outdated:
            self.log.error(
                "The answer of %s is refused, since what the step takes has changed since it was "
                "asked for: %s",
                reply,
                error,
            )
            return
        self.log.error("The answer of %s is refused, and asked for again: %s", reply, error)
        Memory(context, run.run_id).forget_undelivered()
        put_up(context["ti"].id, Notice.of(question), self.assigned_users)
        self._park(waiting, context)


def _takes_something_else(record: WorkflowRun, question: Question) -> bool:
    """Whether the step that asked takes other resume data now than when it asked."""
    asked = question.suspension
    return any(
        now.identity == asked.identity and now.resume_schema != asked.resume_schema
        for now in record.suspensions
    )


def in_words(time: timedelta) -> str:
    """A length of time, such as ``2 days`` or ``1 hour 30 minutes``; at least a second."""
    seconds = max(1, round(time.total_seconds()))
    parts = []
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts)
