"""A Scrapy project in one file: visits SITE, stores pictures in STORE, enqueues them as CRAWL."""

from __future__ import annotations

import sys
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess


class Shop(scrapy.Spider):
    """Yields one item for each product of the page."""

    name = "shop"

    def parse(self, response: Any) -> Any:
        for product in response.css("li"):
            yield {
                "product_id": product.attrib["id"],
                "shop": "a shop",
                "image_urls": [response.urljoin(a) for a in product.css("img::attr(src)").getall()],
            }


if __name__ == "__main__":
    site, store, feeds, broker, catalogue, model = sys.argv[1:]
    process = CrawlerProcess(
        {
            "ITEM_PIPELINES": {
                "scrapy.pipelines.images.ImagesPipeline": 1,
                "worker.crawlers.scrapy_pipeline.FashionCascadePipeline": 300,
            },
            "IMAGES_STORE": store,
            "FASHION_CASCADE_CRAWL": "spring",
            "FASHION_CASCADE_BROKER_URL": broker,
            "FASHION_CASCADE_CATALOGUE_URL": catalogue,
            "FASHION_CASCADE_MODEL": model,
            "FASHION_CASCADE_SHARD_SIZE": 1,
            "FASHION_CASCADE_MAX_QUEUE_LENGTH": 1000,
            "FEEDS": {f"{feeds}/items.{kind}": {"format": kind} for kind in ("jl", "csv", "json")},
            "TELNETCONSOLE_ENABLED": False,
            "RETRY_ENABLED": False,
        }
    )
    process.crawl(Shop, start_urls=[site])
    process.start()
