"""What crawlers leave and send: the pipeline for Scrapy, what was not downloaded."""
