"""Losses of a user's own, right and wrong, for the tests of `custom`: this file is run by its path."""

import torch
import torch.nn.functional as F


def focal(scores, targets, *, gamma=2.0):
    log_p = F.log_softmax(scores.double(), -1).gather(-1, targets[:, None])[:, 0]
    return (-torch.expm1(log_p)).clamp(min=1e-300) ** gamma * -log_p


def averaged(scores, targets):
    return F.cross_entropy(scores, targets)


def with_neighbours(scores, targets):
    return F.cross_entropy(scores - scores.mean(0), targets, reduction="none")


def by_chance(scores, targets):
    return F.cross_entropy(scores, targets, reduction="none") * torch.rand(len(scores))


def counted(scores, targets):
    return (scores.argmax(-1) != targets).double()


def infinite(scores, targets):
    return F.cross_entropy(scores, targets, reduction="none") / 0.0


def kinked(scores, targets):
    return (scores - scores).abs().sqrt().sum(-1)


def listed(scores, targets):
    return [0.0 for _ in targets]


def failing(scores, targets):
    return scores @ targets
