"""Every setting a person may make, declared once: name, type, default, meaning, unit and bounds.

`House` is what anima.toml says, `Agent` what one agent.toml says. Reading, checking, `config show` and
docs/configuration.md all follow from these declarations; nothing repeats them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anima import limits
from anima.config.feelings import Glands, Thymos
from anima.config.option import option

#: Providers a definition may speak of. `compatible` is any server that speaks a dialect of OpenAI's at base_url.
MODEL_PROVIDERS = (
    "compatible",
    "anthropic",
    "openai",
    "gemini",
    "openrouter",
    "ark",
    "ollama",
    "vllm",
    "llamacpp",
    "lmstudio",
)
PRICE_UNKNOWN = -1.0

#: What the jail consists of. The sandbox knows what each one does (anima/sandbox/jail/spec.py); a test compares the names.
LAYERS = ("namespaces", "network", "user", "landlock", "seccomp", "rlimits", "memory")


@dataclass(frozen=True)
class Models:
    """Which model thinks where an agent does not say, and how the providers are reached."""

    default: str = option(
        "",
        "model of agents that name none, as provider:model or as the NAME of models/NAME.toml; empty: what a key allows, "
        "else an Ollama on this machine, else reflex",
    )
    fallbacks: tuple[str, ...] = option(
        (), "models that answer, in this order, when an agent's own cannot; where neither agent nor definition names any"
    )
    fast_model: str = option("", "model for small chores of agents that name none; empty: the one they think with")
    anthropic_base_url: str = option("", "address of the Anthropic API; empty: the provider's own")
    anthropic_api_key: str = option(
        "",
        "key for the Anthropic API, best as ${ANTHROPIC_API_KEY} or ${credential:NAME}; empty: $ANTHROPIC_API_KEY, if set",
        secret=True,
    )
    openai_base_url: str = option("", "address of the OpenAI API; empty: $OPENAI_BASE_URL, if set, else the provider's own")
    openai_api_key: str = option("", "key for the OpenAI API; empty: $OPENAI_API_KEY, if set", secret=True)
    gemini_api_key: str = option("", "key for Gemini; empty: $GEMINI_API_KEY, if set", secret=True)
    openrouter_api_key: str = option("", "key for OpenRouter; empty: $OPENROUTER_API_KEY, if set", secret=True)
    ark_api_key: str = option("", "key for Ark (Doubao); empty: $ARK_API_KEY, if set", secret=True)
    ollama_base_url: str = option("", "address of Ollama; empty: $OLLAMA_HOST, if set, else this machine")


@dataclass(frozen=True)
class Supervisor:
    """How processes are watched, restarted and stopped."""

    beat_s: float = option(5.0, "how often a process says that it lives", "s", min=0.05, max=3600)
    beats_missed_max: int = option(
        3, "so many missing beats mean that a process hangs; it is ended and started anew", min=1, max=1000
    )
    start_timeout_s: float = option(30.0, "time the journal and its like have to become ready", "s", min=0.1, max=3600)
    agent_start_timeout_s: float = option(60.0, "time an agent has to become ready", "s", min=0.1, max=3600)
    stop_timeout_s: float = option(
        10.0, "time the journal and its like have to stop before they are killed", "s", min=0.1, max=3600
    )
    agent_stop_timeout_s: float = option(20.0, "time an agent has to stop before it is killed", "s", min=0.1, max=3600)
    agent_memory_mib: int = option(
        1024,
        "memory one agent's process may take before the kernel ends it, where a cgroup counts it; 0: no limit",
        "MiB",
        min=0,
        max=1_048_576,
    )
    agent_tasks_max: int = option(
        256, "threads and processes one agent may have, where a cgroup counts them; 0: no limit", min=0, max=1_000_000
    )
    restart_burst: int = option(5, "so many restarts within the window happen at once", min=1, max=1000)
    restart_window_s: float = option(30.0, "length of that window", "s", min=0.1, max=86400)
    restart_delay_s: float = option(
        1.0, "first pause between restarts after the burst; it doubles each time", "s", min=0.01, max=3600
    )
    restart_delay_max_s: float = option(60.0, "longest pause between restarts", "s", min=0.01, max=86400)
    restart_reset_s: float = option(
        60.0, "a process that was ready this long has its restarts forgotten", "s", min=0.1, max=86400
    )
    restart_attempts_max: int = option(10, "so many failures in a row park a process until `animactl reset`", min=1, max=100000)
    spawn: str = option(
        "auto",
        "how processes come to be: fork is fast, exec works everywhere, auto chooses",
        choices=("auto", "fork", "exec"),
    )


@dataclass(frozen=True)
class Log:
    """Where processes log, and how much is kept."""

    to: str = option(
        "auto",
        "where lines go: to systemd's journal if the house is its service, else to log/NAME.log (auto), or always there",
        choices=("auto", "file"),
    )
    level: str = option("info", "least important lines that are kept", choices=("debug", "info", "warning", "error"))
    bytes_max: int = option(
        10 * limits.MIB, "size at which a log file is put aside", "bytes", min=16 * limits.KIB, max=1024 * limits.MIB
    )
    files_max: int = option(5, "files kept per process, the current one included", min=1, max=100)

    @property
    def may_use_journal(self) -> bool:
        """Whether lines go to systemd's journal where there is one."""
        return self.to == "auto"


@dataclass(frozen=True)
class Sandbox:
    """How the jails are made in which tools run (docs/jail.md)."""

    builder: str = option(
        "auto",
        "who mounts what a jail sees: this program itself (native), bwrap, or what the machine allows, native first (auto)",
        choices=("auto", "native", "bubblewrap"),
    )


@dataclass(frozen=True)
class Record:
    """What is kept of calls of models, so that `animactl replay` can show a turn as it was."""

    on: bool = option(True, "keep what models were shown and said, compressed, in state/record")
    keep_days: int = option(30, "days after which it is deleted; the journal keeps everything", "days", min=1, max=36_500)


@dataclass(frozen=True)
class Embedding:
    """Who turns memories into vectors, so that they are found by meaning (docs/mneme.md). Another one has all made anew."""

    model: str = option("minilm", "minilm comes with anima; none finds by words alone; anything else is a model at `url`")
    url: str = option("", "a server that speaks OpenAI's protocol, up to /v1; Ollama: http://127.0.0.1:11434/v1")
    key: str = option("", "its key, if it wants one; write ${credential:NAME}", secret=True)


@dataclass(frozen=True)
class Definition:
    """One models/NAME.toml, checked and complete: a model under a name of one's own."""

    provider: str = option("compatible", "who provides it; compatible: any server at base_url", choices=MODEL_PROVIDERS)
    model: str = option("", "the provider's own name for it; empty: the provider's usual one")
    dialect: str = option(
        "", "how OpenAI's API is spoken; empty: as the provider does it best", choices=("", "chat", "responses")
    )
    base_url: str = option("", "address of the API, as https://HOST/v1; empty: the provider's own")
    api_key: str = option(
        "", "the key, best as ${NAME} or ${credential:NAME}; empty: the one the provider has anyway", secret=True
    )
    window_tokens: int = option(0, "how much the model can take at once; 0: what is known of it", "tokens", min=0, max=10**8)
    price_in: float = option(PRICE_UNKNOWN, "US dollars for a million tokens read; -1: the built-in table's", min=-1, max=10**6)
    price_out: float = option(PRICE_UNKNOWN, "US dollars for a million tokens written; -1: the table's", min=-1, max=10**6)
    price_cache_read: float = option(
        PRICE_UNKNOWN, "US dollars for a million tokens read from the cache; -1: the table's", min=-1, max=10**6
    )
    price_cache_written: float = option(
        PRICE_UNKNOWN, "US dollars for a million tokens written to the cache; -1: the table's", min=-1, max=10**6
    )
    retry_s: float = option(120.0, "time without a word after which it is given up", "s", min=0, max=86_400)
    silence_s: float = option(120.0, "time without a byte after which a connection is dead", "s", min=0.1, max=86_400)
    answer_timeout_s: float = option(1800.0, "longest time one answer may flow", "s", min=0.1, max=86_400)
    fallbacks: tuple[str, ...] = option((), "models that answer, in this order, when this one cannot")
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  #: sent with every request; as secret as the key
    params: Mapping[str, Any] = field(default_factory=dict)  #: fields of every request's body


NO_LIMIT = -1  #: of a budget's line: nothing is said here


@dataclass(frozen=True)
class Budget:
    """What may be spent on models. What is said nowhere has no limit; 0 means that nothing may be spent.

    In an agent.toml -1 and "" mean what anima.toml says.
    """

    day_calls: int = option(NO_LIMIT, "model calls a day; -1: the house's, else no limit", min=-1, max=10**9)
    day_tokens: int = option(NO_LIMIT, "tokens a day, read and written; -1: the house's, else no limit", min=-1, max=10**12)
    day_usd: float = option(float(NO_LIMIT), "US dollars a day; -1: the house's, else no limit", min=-1, max=10**9)
    day_wall_s: float = option(
        float(NO_LIMIT), "time of model calls a day; -1: the house's, else no limit", "s", min=-1, max=10**9
    )
    turn_calls: int = option(NO_LIMIT, "model calls a turn; -1: the house's, else no limit", min=-1, max=10**9)
    turn_tokens: int = option(NO_LIMIT, "tokens a turn, read and written; -1: the house's, else no limit", min=-1, max=10**12)
    turn_usd: float = option(float(NO_LIMIT), "US dollars a turn; -1: the house's, else no limit", min=-1, max=10**9)
    turn_wall_s: float = option(
        float(NO_LIMIT), "time of model calls a turn; -1: the house's, else no limit", "s", min=-1, max=10**9
    )
    unknown_price: str = option(
        "",
        "whether a model of unknown price may be asked where there is a budget of money; empty: the house's, else refuse",
        choices=("", "refuse", "allow"),
    )


@dataclass(frozen=True)
class House:
    """anima.toml, checked and complete."""

    models: Models = field(default_factory=Models)
    supervisor: Supervisor = field(default_factory=Supervisor)
    log: Log = field(default_factory=Log)
    sandbox: Sandbox = field(default_factory=Sandbox)
    budget: Budget = field(default_factory=Budget)
    record: Record = field(default_factory=Record)
    embedding: Embedding = field(default_factory=Embedding)
    definitions: Mapping[str, Definition] = field(default_factory=dict)  #: of models/, by name
    secrets: frozenset[str] = field(default=frozenset(), repr=False)  #: values that must never be shown or logged


@dataclass(frozen=True)
class Policy:
    """What an agent may do with its tools. An empty list means none; nothing an agent's tools can write is read here."""

    tools: tuple[str, ...] = option(("*",), "names of the tools it may use, or shell patterns of them; [] means none")
    approve: str = option(
        "never",
        "which calls wait for a person: none, those of tools that are not safe, or all",
        choices=("never", "risky", "always"),
    )
    workspace: str = option(
        "", "directory it works in, absolute or relative to the home; empty: workspace/NAME in the home, made when missing"
    )
    read: tuple[str, ...] = option((), "more directories it may read, absolute")
    write: tuple[str, ...] = option((), "more directories it may read and write, absolute")
    network: str = option(
        "none",
        "which addresses its tools reach: none, public ones, or only those of the names in hosts",
        choices=("none", "web", "hosts"),
    )
    hosts: tuple[str, ...] = option((), "names it may reach with network = hosts; *.NAME means every name below NAME")
    wall_s: float = option(limits.tool_wall_s, "time one call may take", "s", min=0.1, max=86_400)
    cpu_s: float = option(60.0, "processor time each process of a call may take", "s", min=1, max=86_400)
    memory_mib: int = option(2048, "memory of one call", "MiB", min=64, max=1_048_576)
    file_mib: int = option(64, "largest file a call may write", "MiB", min=1, max=1_048_576)
    files: int = option(256, "files each process of a call may hold open", min=32, max=1_048_576)
    processes: int = option(128, "processes and threads a call may have at a time", min=4, max=100_000)
    output_kib: int = option(
        1024, "output kept of one call, its head and its tail; the whole is counted", "KiB", min=4, max=65_536
    )
    layers_off: tuple[str, ...] = option(
        (),
        "layers of the jail it does without, e.g. where this machine lacks them; `animactl doctor` names them",
        choices=LAYERS,
    )
    search_provider: str = option(
        "", "who answers web_search; empty: nobody, and the tool says so", choices=("", "searxng", "brave", "tavily")
    )
    search_url: str = option("", "address of the search engine; empty: the provider's own, if it has one")
    search_key: str = option("", "key for the search engine, as ${credential:NAME}", secret=True)
    issues: str = option("", "repository that report_issue writes to, as OWNER/NAME; empty: only a note is kept")
    tool_format: str = option(
        "native",
        "how its model writes calls: native blocks, <tool> tags around JSON, or <function=...> tags",
        choices=("native", "tags", "functions"),
    )
    tools_shown_max: int = option(
        0, "so many tools at most are shown to the model, those whose words match what is asked; 0: all", min=0, max=1000
    )
    calls_per_turn_max: int = option(100, "tool calls one turn may make", min=1, max=10_000)


@dataclass(frozen=True)
class Memory:
    """What an agent is reminded of, and how what leaves its window is summarised (docs/mneme.md)."""

    on: bool = option(True, "before each turn the agent is told what the message and its goals bring to mind")
    summaries: str = option(
        "model",
        "who writes down in few words what leaves the window: the fast model, a rule that picks sentences, or nobody",
        choices=("model", "extract", "off"),
    )


@dataclass(frozen=True)
class Viewport:
    """How much of a conversation the model is shown. The window's start stays put until it is full, then it leaps."""

    window_tokens: int = option(
        0,
        "most of the model's window that is used, answer not included; 0: 120,000, or 32,000 of a window nobody knows",
        "tokens",
        min=0,
        max=10_000_000,
    )
    fill: float = option(0.3, "share of it that is filled when the window is laid anew", min=0.01, max=0.5)
    reset: float = option(0.9, "share of it at which the window is laid anew", min=0.5, max=1.0)


@dataclass(frozen=True)
class Reflection:
    """Whether the agent thinks about an answer before it leaves, and the functions that look on."""

    on: bool = option(False, "evaluate each answer before it leaves, and revise it where that finds it wanting")
    model: str = option(
        "", "the model that evaluates; empty: fast_model, else the house's, else the one that thinks, whose cache it can use"
    )
    revisions_max: int = option(1, "so often an answer may be sent back; then it leaves as it is", min=0, max=10)
    timeout_s: float = option(60.0, "time an evaluation may take; then the answer leaves as it is", "s", min=0.1, max=3600)
    look_at: str = option("", "what to look at besides truth and completeness, in words for the model")
    hooks: tuple[str, ...] = option(
        ("*",), "names of the installed functions (entry point anima.hooks) to call, or shell patterns of them; [] means none"
    )


@dataclass(frozen=True)
class Agent:
    """One agent.toml, checked and complete."""

    model: str = option(
        "", "the model that thinks, as provider:model or as the NAME of models/NAME.toml; empty: the house's default"
    )
    fallbacks: tuple[str, ...] = option(
        (), "models that answer, in this order, when that one cannot; none: those of its definition, else the house's"
    )
    fast_model: str = option("", "the model for small chores; empty: the house's")
    description: str = option("", "what the agent is for, in a few words, for people who look at a list")
    answer_tokens_max: int = option(
        16_000, "longest answer of one model call, its thinking included", "tokens", min=16, max=1_000_000
    )
    thinking_tokens_max: int = option(
        0, "how much of a call's answer may be thinking; 0: as the model does by itself", "tokens", min=0, max=1_000_000
    )
    turn_steps_max: int = option(50, "model calls one turn may take", min=1, max=10_000)
    turn_idle_steps_max: int = option(
        5, "so many model calls in a row whose tool calls bring nothing new end a turn", min=1, max=10_000
    )
    turn_timeout_s: float = option(600.0, "time one turn may take", "s", min=0.1, max=86_400)
    sessions_parallel_max: int = option(
        4, "turns at the same time, each in another session", min=1, max=limits.sessions_parallel_max
    )
    time_zone: str = option("", "time zone the agent speaks of, as Area/City; empty: the machine's")
    restart: str = option(
        "permanent",
        "when the process is started again: always, only after a failure, or never",
        choices=("permanent", "transient", "temporary"),
    )
    viewport: Viewport = field(default_factory=Viewport, metadata={"section": Viewport})
    policy: Policy = field(default_factory=Policy, metadata={"section": Policy})
    budget: Budget = field(default_factory=Budget, metadata={"section": Budget})
    reflection: Reflection = field(default_factory=Reflection, metadata={"section": Reflection})
    memory: Memory = field(default_factory=Memory, metadata={"section": Memory})
    thymos: Thymos = field(default_factory=Thymos, metadata={"section": Thymos})
    glands: Glands = field(default_factory=Glands, metadata={"section": Glands})


SECTIONS: dict[str, type[Models | Supervisor | Log | Sandbox | Record | Budget | Embedding]] = {
    "models": Models,
    "supervisor": Supervisor,
    "log": Log,
    "sandbox": Sandbox,
    "budget": Budget,
    "record": Record,
    "embedding": Embedding,
}
