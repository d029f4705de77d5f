"""What a stimulus moves, and what damps what: the numbers reactions consist of, each once.

They are choices, argued in docs/thymos.md; nothing else knows them. An agent's soul multiplies the reactions. Where the
hormones rest is in anima/wire/feelings.py, because an agent's settings may say otherwise.
"""

from anima.wire.feelings import HORMONES, LEVEL_MAX, STIMULI

#: How far a stimulus of strength 1 moves each hormone of a neutral soul, in levels.
REACTIONS: dict[str, dict[str, float]] = {
    "tool_failed": {"frustration": 10.0, "cortisol": 3.0, "dopamine": -2.0},
    "tool_succeeded": {"frustration": -4.0, "dopamine": 2.0, "cortisol": -1.0},
    "message": {"oxytocin": 5.0, "dopamine": 3.0},
    "praise": {"dopamine": 8.0, "serotonin": 5.0, "oxytocin": 4.0, "frustration": -6.0, "testosterone": 3.0},
    "criticism": {"cortisol": 8.0, "serotonin": -5.0, "dopamine": -4.0, "frustration": 4.0},
    "gratitude": {"oxytocin": 7.0, "serotonin": 4.0, "endorphins": 3.0},
    "question_unanswered": {"cortisol": 3.0, "oxytocin": -2.0},
    "silence": {"oxytocin": -8.0, "dopamine": -4.0, "serotonin": -2.0},
    "task_finished": {"dopamine": 5.0, "endorphins": 6.0, "frustration": -8.0, "testosterone": 2.0},
    "task_failed": {"frustration": 8.0, "dopamine": -5.0, "cortisol": 4.0},
    "goal_reached": {"dopamine": 12.0, "endorphins": 15.0, "testosterone": 6.0, "serotonin": 5.0, "frustration": -15.0},
    "deadline_near": {"cortisol": 10.0, "testosterone": 4.0},
    "repetition": {"dopamine": -6.0, "frustration": 2.0},
    "novelty": {"dopamine": 7.0, "testosterone": 2.0},
    "crash": {"cortisol": 10.0, "serotonin": -3.0},
    "return": {"endorphins": 4.0, "cortisol": -2.0},
    "budget_low": {"cortisol": 6.0, "testosterone": -3.0},
    "pleasant_memory": {"oxytocin": 5.0, "endorphins": 3.0, "serotonin": 2.0},
    "painful_memory": {"cortisol": 5.0, "serotonin": -3.0},
    "threat": {"cortisol": 15.0, "testosterone": 3.0, "dopamine": 4.0},
}

#: (source, target, share): a full level of the source takes this share off every rise of the target. A share lies in
#: [0, 1], so coupling only ever makes a rise smaller: no loop of them can run away, whatever the levels are.
COUPLINGS: tuple[tuple[str, str, float], ...] = (
    ("cortisol", "serotonin", 0.6),
    ("cortisol", "oxytocin", 0.4),
    ("oxytocin", "cortisol", 0.5),
    ("serotonin", "cortisol", 0.2),
    ("endorphins", "cortisol", 0.3),
    ("serotonin", "testosterone", 0.2),
)

_PLACE = {name: place for place, name in enumerate(HORMONES)}

#: The same tables by place instead of by name, as the fold wants them.
BASES: dict[str, tuple[float, ...]] = {
    stimulus: tuple(REACTIONS[stimulus].get(hormone, 0.0) for hormone in HORMONES) for stimulus in STIMULI
}
DAMPERS: tuple[tuple[tuple[int, float], ...], ...] = tuple(
    tuple((_PLACE[source], share / LEVEL_MAX) for source, target, share in COUPLINGS if target == hormone)
    for hormone in HORMONES
)
