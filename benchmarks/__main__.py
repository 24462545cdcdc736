"""All races one after the other: ``python -m benchmarks``."""

from benchmarks import attention_race, classifier_race, gradient_overhead, sgns_race, svd_race

if __name__ == "__main__":
    svd_race.main([])
    sgns_race.main([])
    gradient_overhead.main()
    classifier_race.main([])
    attention_race.main([])
