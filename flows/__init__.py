"""When things run: Prefect flows over the stages of `tasks`. The only package that imports Prefect."""
