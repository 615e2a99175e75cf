"""One question to a database by each Python driver; prints the answer. Arguments: driver, port, folder of the certificates."""
import sys

driver, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ca, cert, key = (f"{folder}/{name}" for name in ("ca.crt", "alice.crt", "alice.key"))

if driver in ("psycopg2", "psycopg"):
    pg = __import__(driver)
    words = f"host=localhost port={port} user=app dbname=postgres client_encoding=UTF8 sslmode=verify-full"
    with pg.connect(f"{words} sslrootcert={ca} sslcert={cert} sslkey={key}") as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user")
        print(cursor.fetchone()[0])
elif driver == "pymysql":
    import pymysql

    connection = pymysql.connect(
        host="localhost",
        port=port,
        user="app",
        ssl_ca=ca,
        ssl_cert=cert,
        ssl_key=key,
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    )
    cursor = connection.cursor()
    cursor.execute("select substring_index(current_user(), '@', 1)")
    print(cursor.fetchone()[0])
elif driver == "redis":
    import redis

    client = redis.Redis(
        host="localhost", port=port, ssl=True, ssl_ca_certs=ca, ssl_certfile=cert, ssl_keyfile=key, decode_responses=True
    )
    print(client.execute_command("ACL WHOAMI"))
elif driver == "pymongo":
    from pymongo import MongoClient

    client = MongoClient(
        f"mongodb://localhost:{port}/?directConnection=true",
        tls=True,
        tlsCAFile=ca,
        tlsCertificateKeyFile=f"{folder}/alice.pem",
        serverSelectionTimeoutMS=5000,
    )
    print(client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"][0]["user"])
