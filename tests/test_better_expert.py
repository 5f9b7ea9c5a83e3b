from policies.better_expert import better
from policies.evaluate_expert import ExpertScore
from sim.rates import wilson

FOUND = {
    # name -> preset -> (successes of 100, mean squared change).
    "copy": {"physical": (98, 0.004), "physical[+disturbed]": (22, 0.005)},
    "ppo": {"physical": (100, 0.010), "physical[+disturbed]": (88, 0.012)},
    "spoiled": {"physical": (6, 0.009), "physical[+disturbed]": (40, 0.010)},
    "rough": {"physical": (98, 0.009), "physical[+disturbed]": (22, 0.005)},
}


def best(*names, trained_in="physical[+disturbed]"):
    asked = []

    def score(name, preset):
        asked.append((name, preset))
        successes, change = FOUND[name][preset]
        return ExpertScore(wilson(successes, 100), wilson(successes, 100), 20.0, change, 0, preset, 511)

    found = better(names, score, trained_in=trained_in)
    assert len(asked) == len(set(asked))
    return found


def test_what_helps_where_it_is_disturbed_and_costs_nothing_where_it_is_calm_is_kept():
    assert best("copy", "ppo") == "ppo"


def test_calm_success_is_not_paid_with():
    """Judged in disturbed worlds alone, a network that had unlearned its task was kept."""
    assert best("copy", "spoiled") == "copy"


def test_without_disturbance_they_are_judged_once():
    assert best("copy", "spoiled", trained_in="physical") == "copy"


def test_the_smoother_one_wins_a_tie():
    assert best("rough", "copy") == best("copy", "rough") == "copy"
