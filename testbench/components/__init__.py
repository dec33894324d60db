"""Shared parts of the pages: one component per idea; pages compose them and do not style.

How a page is made (see pages/devices.py with state/devices.py for a whole one):

    def runs() -> rx.Component:
        return shell(                                     # sidebar, title bar, landmarks, dialogs
            view(RunsState, table_skeleton(), _body()),    # skeleton, then body; or error + Retry
            title="Runs", active="/runs",
            actions=[rx.button("New run", …)],
        )

    pages/__init__.py: add(app, runs, "/runs", "Runs", RunsState.load)

State side (state/views.py, state/live.py):

    class RunsState(ViewState, rx.State):        # brings loaded, error, _query(), _link()
        @rx.event
        @guarded()
        async def load(self):
            live.watch(self, {"runs": None}, RunsState.refresh)   # None: any id; or a set of ids
            async with self._loading():         # NotFound, Unavailable … become `error`
                await self._read()

        @rx.event
        @guarded()
        async def refresh(self):                # sent by the bus listener, at most every 250 ms
            await self._read()

What is chosen (filters, tabs, times) is in the URL: link to `?…`, or return
`rx.redirect(self._link(tag="x"))`; `load` runs again and reads `self._query()`. So reload, share
and Back work. Put static columns and live figures into different vars: a delta sends a var whole.

What there is: `shell, engineers` (who may change things) · `view, page_error, empty_state,
table_skeleton, form_skeleton` ·
`state_badge, presence, status_badge, outcome_badge, verdict_badge` · `data_table(Column…, Window),
pager, chip, tabs, search_box, quick_search, on_return` · `card, facts, figure, figures,
progress_bar, outcome_strip` · `time_chart` · `log_view, reading_badge` · `ago, moment, countdown,
span, amount, thousands, every` · `field, text_field, number_field, select_field, area_field,
switch_field, tag_field, schema_form, save_row, unsaved` · `dialog, confirm, secret, snippet`.
Toasts: return `rx.toast.success("…")` from the handler. All arguments may be Vars.
"""

from testbench.components.badges import (
    outcome_badge,
    presence,
    state_badge,
    status_badge,
    verdict_badge,
)
from testbench.components.charts import time_chart
from testbench.components.dialogs import confirm, dialog, secret, snippet
from testbench.components.feedback import (
    empty_state,
    form_skeleton,
    page_error,
    table_skeleton,
    view,
)
from testbench.components.figures import (
    card,
    facts,
    figure,
    figures,
    outcome_strip,
    progress_bar,
)
from testbench.components.forms import (
    area_field,
    field,
    number_field,
    save_row,
    schema_form,
    select_field,
    switch_field,
    tag_field,
    text_field,
    unsaved,
)
from testbench.components.layout import engineers, shell
from testbench.components.logs import log_view, reading_badge
from testbench.components.tables import (
    Column,
    Window,
    chip,
    data_table,
    on_return,
    pager,
    quick_search,
    search_box,
    tabs,
)
from testbench.components.values import ago, amount, countdown, every, moment, span, thousands

__all__ = [
    "Column",
    "Window",
    "ago",
    "amount",
    "area_field",
    "card",
    "chip",
    "confirm",
    "countdown",
    "data_table",
    "dialog",
    "empty_state",
    "engineers",
    "every",
    "facts",
    "field",
    "figure",
    "figures",
    "form_skeleton",
    "log_view",
    "moment",
    "number_field",
    "on_return",
    "outcome_badge",
    "outcome_strip",
    "page_error",
    "pager",
    "presence",
    "progress_bar",
    "quick_search",
    "reading_badge",
    "save_row",
    "schema_form",
    "search_box",
    "secret",
    "select_field",
    "shell",
    "snippet",
    "span",
    "state_badge",
    "status_badge",
    "switch_field",
    "table_skeleton",
    "tabs",
    "tag_field",
    "text_field",
    "thousands",
    "time_chart",
    "unsaved",
    "verdict_badge",
    "view",
]
