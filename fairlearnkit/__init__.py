"""Fair learning for scikit-learn: choose what is equal, how nearly, and see the price."""

from fairlearnkit import datasets, display, exceptions, metrics
from fairlearnkit._base import CostFrontier
from fairlearnkit.audit import AuditReport, audit, audit_estimator
from fairlearnkit.constraints import (
    AllOf,
    Capacity,
    ConvexRates,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    FalseNegativeRateParity,
    FalsePositiveRateParity,
    MinimumRate,
    Parity,
    Rate,
    TrueNegativeRateParity,
)
from fairlearnkit.frontier import ParetoFrontier, compare_frontiers, fairness_frontier
from fairlearnkit.inprocessing import ConstrainedLogisticRegression
from fairlearnkit.postprocessing import GroupThresholdClassifier
from fairlearnkit.reductions import ReductionClassifier
from fairlearnkit.subgroups import SubgroupAudit, audit_subgroups

__version__ = "0.1.0.dev0"

__all__ = [
    "AllOf",
    "AuditReport",
    "Capacity",
    "ConstrainedLogisticRegression",
    "ConvexRates",
    "CostFrontier",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "ErrorRateParity",
    "FalseNegativeRateParity",
    "FalsePositiveRateParity",
    "GroupThresholdClassifier",
    "MinimumRate",
    "ParetoFrontier",
    "Parity",
    "Rate",
    "ReductionClassifier",
    "SubgroupAudit",
    "TrueNegativeRateParity",
    "audit",
    "audit_estimator",
    "audit_subgroups",
    "compare_frontiers",
    "datasets",
    "display",
    "exceptions",
    "fairness_frontier",
    "metrics",
]
