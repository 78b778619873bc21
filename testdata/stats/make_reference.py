"""Writes reference values for the crate `stats` as JSON beside this file.

Needs numpy, scipy, statsmodels, krippendorff and ruptures; the versions used are written into each file.
Inputs are drawn with fixed seeds and written out with full precision, so the tests need no generator.
"""

import json
import pathlib
from importlib.metadata import version

import krippendorff
import numpy as np
import ruptures
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

HERE = pathlib.Path(__file__).parent
PACKAGES = ["numpy", "scipy", "statsmodels", "krippendorff", "ruptures"]


def write(name, cases):
    body = {"made_with": {p: version(p) for p in PACKAGES}, **cases}
    text = json.dumps(body, indent=1, default=float)
    (HERE / f"{name}.json").write_text(text + "\n")


def floats(values):
    return [float(v) for v in values]


def quantiles():
    ps = [0.5001, 0.6, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9995, 0.999999]
    write("quantiles", {
        "normal": [[p, stats.norm.ppf(p)] for p in ps + [1 - p for p in ps]],
        "student": [[p, df, stats.t.ppf(p, df)] for p in ps for df in (1, 2, 3.5, 9, 19, 99, 1000, 123456)],
        "beta": [[p, a, b, stats.beta.ppf(p, a, b)] for p in (0.005, 0.025, 0.05, 0.5, 0.95, 0.975, 0.995)
                 for a, b in ((1, 30), (3, 28), (0.7, 12.3), (50, 2), (500, 1501), (1, 1))],
        "student_two_sided": [[t, df, 2 * stats.t.sf(t, df)] for t in (0.1, 1, 2, 5, 15) for df in (1, 4, 33.3, 1000)],
        "normal_two_sided": [[z, 2 * stats.norm.sf(z)] for z in (0.0, 0.5, 1.96, 5, 12, 30)],
    })


def proportions():
    cases = []
    for k, n in ((1, 31), (5, 40), (48, 50), (97, 100), (300, 1000), (0, 35), (35, 35), (3, 10), (1, 1), (12345, 20000)):
        for level in (0.9, 0.95, 0.99):
            cases.append({
                "k": k, "n": n, "level": level,
                "wilson": floats(proportion_confint(k, n, 1 - level, "wilson")),
                "beta": floats(proportion_confint(k, n, 1 - level, "beta")),
            })
    newcombe = []
    for k1, n1, k2, n2 in ((56, 70, 48, 80), (9, 40, 3, 35), (400, 1000, 460, 1000), (31, 32, 1, 33)):
        low, high = confint_proportions_2indep(k2, n2, k1, n1, method="newcomb", compare="diff", alpha=0.05)
        newcombe.append({"a": [k1, n1], "b": [k2, n2], "interval": [low, high]})
    write("proportions", {"rates": cases, "newcombe": newcombe})


def clusters():
    rng = np.random.default_rng(20)
    cases = []
    for groups, binary in ((12, True), (30, True), (8, False), (40, False)):
        sizes = rng.integers(1, 9, groups)
        g = np.repeat(np.arange(groups), sizes)
        effect = rng.normal(0, 1, groups)[g]
        x = (effect + rng.normal(0, 1, g.size) > -0.5).astype(float) if binary else 3 + effect + rng.normal(0, 1, g.size)
        # hc0 sums times C/(C-1), as here; statsmodels' other factor (n-1)/(n-k) is 1 for one parameter
        fit = sm.OLS(x, np.ones_like(x)).fit(cov_type="cluster", cov_kwds={"groups": g, "use_correction": True, "df_correction": True})
        low, high = fit.conf_int()[0]
        t = stats.t.ppf(0.975, groups - 1)
        cases.append({"values": floats(x), "groups": [int(v) for v in g], "mean": fit.params[0], "se": fit.bse[0],
                      "t_interval": [fit.params[0] - t * fit.bse[0], fit.params[0] + t * fit.bse[0]]})
    # groups that reach into both arms
    groups = 25
    sizes = rng.integers(2, 7, groups)
    g = np.repeat(np.arange(groups), sizes)
    arm = rng.integers(0, 2, g.size)
    arm[:2] = [0, 1]
    x = rng.normal(0, 1, groups)[g] + rng.normal(0, 1, g.size) + 0.4 * arm
    fit = sm.OLS(x, np.column_stack([np.ones_like(x), arm])).fit(
        cov_type="cluster", cov_kwds={"groups": g, "use_correction": False})
    contrasts = [{"values": floats(x), "groups": [int(v) for v in g], "arm": [int(v) for v in arm],
                  "difference": fit.params[1], "se_times_correction": fit.bse[1] * np.sqrt(groups / (groups - 1))}]
    write("clusters", {"means": cases, "contrasts": contrasts})


def paired():
    cases = [{"lost": b, "won": c, "p": mcnemar([[3, b], [c, 5]], exact=True).pvalue}
             for b, c in ((0, 0), (0, 6), (3, 12), (10, 10), (61, 334), (5, 400), (40, 41))]
    rng = np.random.default_rng(4)
    flips = []
    for n in (5, 9, 12):
        d = np.round(rng.normal(0.4, 1, n), 2)
        exact = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
        t = stats.ttest_1samp(d, 0)
        flips.append({"differences": floats(d), "p": exact.pvalue, "t_p": t.pvalue})
    write("paired", {"mcnemar": cases, "sign_flip": flips})


def hodges_lehmann(a, b):
    """By R's rule for wilcox.test(conf.int=TRUE, exact=FALSE) without its root search: ranks of the normal law."""
    d = np.sort((np.asarray(b)[:, None] - np.asarray(a)[None, :]).ravel())
    m, n = len(a), len(b)
    reach = stats.norm.ppf(0.975) * np.sqrt(m * n * (m + n + 1) / 12)
    k = int(np.floor(m * n / 2 - reach + 0.5))
    interval = [d[k - 1], d[m * n - k]] if k >= 1 else None
    return {"estimate": float(np.median(d)), "interval": interval}


def unpaired():
    rng = np.random.default_rng(5)
    cases = []
    for n_a, n_b, shift, rounded in ((15, 18, 0.5, None), (40, 30, 0.3, 1), (60, 80, 0.0, 0), (8, 7, 1.0, 1)):
        a, b = rng.lognormal(0, 1, n_a), rng.lognormal(shift, 1, n_b)
        if rounded is not None:
            a, b = np.round(a, rounded), np.round(b, rounded)
        u = stats.mannwhitneyu(b, a, method="asymptotic")
        w = stats.brunnermunzel(a, b)
        greater = (np.asarray(b)[:, None] > np.asarray(a)[None, :]).mean() + 0.5 * (np.asarray(b)[:, None] == np.asarray(a)[None, :]).mean()
        cases.append({"a": floats(a), "b": floats(b), "u": u.statistic, "p": u.pvalue,
                      "brunner_munzel": {"statistic": w.statistic, "p": w.pvalue, "greater": greater},
                      "hodges_lehmann": hodges_lehmann(a, b)})
    small = []
    for n_a, n_b in ((5, 6), (6, 8)):
        a, b = np.round(rng.normal(0, 1, n_a), 3), np.round(rng.normal(0.8, 1, n_b), 3)
        exact = stats.mannwhitneyu(b, a, method="exact")
        means = stats.permutation_test((b, a), lambda x, y: np.mean(x) - np.mean(y), permutation_type="independent", n_resamples=np.inf)
        # scipy doubles the smaller tail; here arrangements as far away on either side are counted
        both = float(np.mean(np.abs(means.null_distribution) >= abs(means.statistic) - 1e-12))
        small.append({"a": floats(a), "b": floats(b), "exact_p": exact.pvalue, "permutation_p": both})
    write("unpaired", {"cases": cases, "small": small})


def multiple():
    rng = np.random.default_rng(6)
    cases = []
    for n in (1, 5, 20):
        p = np.round(rng.beta(0.4, 2, n), 5)
        if n == 20:
            p[3] = p[7]
        cases.append({"p": floats(p), "holm": floats(multipletests(p, method="holm")[1]),
                      "bh": floats(multipletests(p, method="fdr_bh")[1])})
    write("multiple", {"cases": cases})


def power():
    cases = []
    for n, sd, alpha in ((200, 0.5, 0.05), (60, 1.3, 0.05), (1000, 0.4, 0.1)):
        # two arms of n with this spread each; one tail of the power is beyond sight
        effect = NormalIndPower().solve_power(effect_size=None, nobs1=n, alpha=alpha, power=0.8, ratio=1.0, alternative="two-sided")
        cases.append({"n": n, "sd": sd, "alpha": alpha, "detectable": effect * sd})
    write("power", {"cases": cases})


def agreement():
    rng = np.random.default_rng(7)
    kappas = []
    for table in ([[40, 9], [6, 45]], [[5, 1, 0], [2, 20, 3], [1, 4, 14]]):
        result = cohens_kappa(np.array(table))
        kappas.append({"table": table, "kappa": result.kappa, "se": result.std_kappa})
    alphas = []
    data = [[1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
            [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]]
    more = rng.integers(1, 6, (3, 25)).tolist()
    for raters in (data, more):
        matrix = np.array([[np.nan if v is None else v for v in row] for row in raters], dtype=float)
        alphas.append({"raters": raters, **{scale: krippendorff.alpha(matrix, level_of_measurement=scale)
                                            for scale in ("nominal", "ordinal", "interval")}})
    write("agreement", {"kappa": kappas, "alpha": alphas})


def order():
    rng = np.random.default_rng(8)
    cases = []
    for n, q in ((30, 0.5), (101, 0.5), (100, 0.95), (500, 0.95), (40, 0.25)):
        x = np.round(rng.lognormal(0, 1, n), 4)
        estimate = float(np.quantile(x, q))
        interval = stats.quantile_test(x, q=estimate, p=q).confidence_interval(0.95)
        cases.append({"values": floats(x), "q": q, "estimate": estimate,
                      "interval": [None if not np.isfinite(v) else float(v) for v in (interval.low, interval.high)]})
    x = rng.lognormal(0, 1, 50)
    z = (7.5 - np.median(x)) / stats.median_abs_deviation(x, scale="normal")
    series = []
    for n, cuts in ((120, [50]), (200, [40, 90, 150]), (80, [])):
        y = rng.normal(0, 1, n)
        for i, cut in enumerate(cuts):
            y[cut:] += (-1) ** i * 2.5
        sigma = stats.median_abs_deviation(np.diff(y), center=lambda v, axis: 0.0 * np.median(v, axis=axis), scale="normal") / np.sqrt(2)
        found = ruptures.Pelt(model="l2", min_size=1, jump=1).fit(y / sigma).predict(pen=2 * np.log(n))
        series.append({"values": floats(y), "changes": [int(v) for v in found[:-1]]})
    write("order", {"quantiles": cases, "robust_z": {"history": floats(x), "value": 7.5, "z": z}, "changes": series})


for make in (quantiles, proportions, clusters, paired, unpaired, multiple, power, agreement, order):
    make()
