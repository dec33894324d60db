"""The table of contents: every page, its address, its title, and what loads it."""

from collections.abc import Callable
from typing import Any

import reflex as rx

from testbench.pages.account import account
from testbench.pages.compare import compare
from testbench.pages.device import device
from testbench.pages.devices import devices
from testbench.pages.discover import discover
from testbench.pages.environments import environment, environments
from testbench.pages.home import home
from testbench.pages.login import login
from testbench.pages.new_rollout import new_rollout
from testbench.pages.new_run import new_run
from testbench.pages.not_found import not_found
from testbench.pages.preset import preset
from testbench.pages.presets import presets
from testbench.pages.rollouts import rollout
from testbench.pages.run import run
from testbench.pages.runs import runs
from testbench.pages.system import system
from testbench.pages.test_case import test_case
from testbench.pages.test_cases import test_cases
from testbench.pages.users import users
from testbench.state.auth import AuthState, LoginState
from testbench.state.comparisons import ComparisonState
from testbench.state.device import DeviceState
from testbench.state.device_configuration import DeviceConfigurationState
from testbench.state.device_logs import DeviceLogsState
from testbench.state.devices import DevicesState
from testbench.state.discover import DiscoverState
from testbench.state.environments import EnvironmentsState, EnvironmentState
from testbench.state.home import HomeState
from testbench.state.new_rollout import NewRolloutState
from testbench.state.new_run import NewRunState
from testbench.state.presets import PresetsState, PresetState
from testbench.state.rollouts import RolloutState
from testbench.state.run import RunState
from testbench.state.runs import RunsState
from testbench.state.system import SystemState
from testbench.state.test_case import TestCaseState
from testbench.state.test_cases import TestCasesState
from testbench.state.users import AccountState, UsersState


def add(app: rx.App, page: Callable[[], rx.Component], route: str, title: str, *load: Any) -> None:
    """A page for those who are logged in; `load` runs after its guard, on every visit."""
    app.add_page(page, route=route, title=f"{title} · Testbench", on_load=[AuthState.load, *load])


def register(app: rx.App) -> None:
    """Every page of the bench."""
    app.add_page(login, route="/login", title="Log in · Testbench", on_load=LoginState.load)
    add(app, home, "/", "Home", HomeState.load)
    add(app, devices, "/devices", "Devices", DevicesState.load)
    add(
        app,
        device,
        "/devices/[device_id]",
        "Device",
        DeviceState.load,
        DeviceConfigurationState.load,
        DeviceLogsState.load,
    )
    add(app, discover, "/discover", "Discover", DiscoverState.load)
    add(app, runs, "/runs", "Runs", RunsState.load)
    add(app, new_run, "/runs/new", "New run", NewRunState.load)
    add(app, compare, "/runs/compare", "Compare runs", ComparisonState.load)
    add(app, run, "/runs/[run_id]", "Run", RunState.load)
    add(app, test_cases, "/test-cases", "Test cases", TestCasesState.load)
    add(app, test_case, "/test-cases/[test_case_id]", "Test case", TestCaseState.load)
    add(app, environments, "/environments", "Environments", EnvironmentsState.load)
    add(app, environment, "/environments/[environment_id]", "Environment", EnvironmentState.load)
    add(app, presets, "/presets", "Presets", PresetsState.load)
    add(app, preset, "/presets/[preset_id]", "Preset", PresetState.load)
    add(app, new_rollout, "/rollouts/new", "New roll-out", NewRolloutState.load)
    add(app, rollout, "/rollouts/[rollout_id]", "Roll-out", RolloutState.load)
    add(app, system, "/system", "System", SystemState.load)
    add(app, account, "/account", "Account", AccountState.load)
    add(app, users, "/users", "Users", UsersState.load)
    add(app, not_found, "/404", "Not found")
