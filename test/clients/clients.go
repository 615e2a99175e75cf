// One question to a database by each Go driver; prints the answer. Arguments: driver, port, folder of the certificates.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gomodule/redigo/redis"
	"github.com/jackc/pgx/v4"
	_ "github.com/lib/pq"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	driver, port, folder := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	anchors := x509.NewCertPool()
	pem, err := os.ReadFile(folder + "/ca.crt")
	must(err)
	anchors.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(folder+"/alice.crt", folder+"/alice.key")
	must(err)
	config := &tls.Config{RootCAs: anchors, Certificates: []tls.Certificate{pair}, ServerName: "localhost"}
	postgres := fmt.Sprintf(
		"postgres://app@localhost:%s/postgres?sslmode=verify-full&sslrootcert=%s/ca.crt&sslcert=%s/alice.crt&sslkey=%s/alice.key",
		port, folder, folder, folder)

	var answer string
	switch driver {
	case "pgx":
		connection, err := pgx.Connect(ctx, postgres)
		must(err)
		must(connection.QueryRow(ctx, "select current_user::text").Scan(&answer))
	case "pq":
		database, err := sql.Open("postgres", postgres)
		must(err)
		must(database.QueryRowContext(ctx, "select current_user").Scan(&answer))
	case "mysql":
		must(mysql.RegisterTLSConfig("alice", config))
		database, err := sql.Open("mysql", fmt.Sprintf("app@tcp(localhost:%s)/?tls=alice", port))
		must(err)
		must(database.QueryRowContext(ctx, "select substring_index(current_user(), '@', 1)").Scan(&answer))
	case "redigo":
		connection, err := redis.DialURL("rediss://localhost:"+port, redis.DialTLSConfig(config))
		must(err)
		answer, err = redis.String(connection.Do("ACL", "WHOAMI"))
		must(err)
	case "mongo":
		client, err := mongo.Connect(ctx, options.Client().ApplyURI(fmt.Sprintf(
			"mongodb://localhost:%s/?directConnection=true&tls=true&tlsCAFile=%s/ca.crt&tlsCertificateKeyFile=%s/alice.pem",
			port, folder, folder)))
		must(err)
		var status struct {
			AuthInfo struct {
				AuthenticatedUsers []struct{ User string }
			} `bson:"authInfo"`
		}
		must(client.Database("admin").RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}}).Decode(&status))
		answer = status.AuthInfo.AuthenticatedUsers[0].User
	}
	fmt.Println(answer)
}
