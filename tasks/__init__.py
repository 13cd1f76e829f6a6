"""How each stage works: plain Python that runs anywhere, one stage a file, no Prefect."""
