#!/bin/sh
# How Ole starts the berth service. "If the api is gone, run the last line again."
docker network create harbour
docker run -d --name db --network harbour -p 5432:5432 -e POSTGRES_PASSWORD=tide-4711 -e POSTGRES_DB=harbour postgres:15-bookworm
docker run -d --name cache --network harbour -p 6379:6379 redis:7-bookworm
docker build -t harbour-api ./api
docker run -d --name api --network harbour -p 8000:8000 -e DB_HOST=db -e DB_NAME=harbour -e DB_PASSWORD=tide-4711 -e REDIS_HOST=cache harbour-api
