# Sallyport on machines of their own behind a network load balancer, which hands connections on as they come, with the
# client's address in a PROXY header, and asks the admin listener how they are.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "name" {
  description = "Of everything that is made here."
  type        = string
  default     = "sallyport"
}

variable "vpc_id" {
  type = string
}

variable "public_subnet_ids" {
  description = "Where the balancer is, one in each zone."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "Where the routers are: with a way out, to install themselves."
  type        = list(string)
}

variable "balancer_cidrs" {
  description = "The networks of the public subnets: PROXY headers are believed from there, and from nowhere else."
  type        = list(string)
}

variable "image_id" {
  description = "A Debian 12 or newer, or another system with systemd 252, and Node 24 in /usr/bin/node."
  type        = string
}

variable "instance_type" {
  type    = string
  default = "t4g.small"
}

variable "routers" {
  type    = number
  default = 2
}

variable "package_url" {
  description = "Where machines get the program from: what `npm pack` made, with its dependencies, as a tar of /opt/sallyport."
  type        = string
}

variable "package_sha256" {
  type = string
}

variable "secret_arn" {
  description = "A secret of AWS Secrets Manager, JSON: `key`, `cert` and `client_ca`, PEM each."
  type        = string
}

variable "environment" {
  description = "SALLYPORT_HOST, the routes, and what else there is to be said."
  type        = map(string)
}

data "aws_region" "here" {}

resource "aws_security_group" "balancer" {
  name_prefix = "${var.name}-balancer-"
  vpc_id      = var.vpc_id

  ingress {
    description = "the one port"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "router" {
  name_prefix = "${var.name}-router-"
  vpc_id      = var.vpc_id

  ingress {
    description     = "connections"
    from_port       = 8443
    to_port         = 8443
    protocol        = "tcp"
    security_groups = [aws_security_group.balancer.id]
  }

  ingress {
    description     = "health checks"
    from_port       = 8080
    to_port         = 8080
    protocol        = "tcp"
    security_groups = [aws_security_group.balancer.id]
  }

  egress {
    description = "upstreams"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Apart from the groups: each names the other.
resource "aws_security_group_rule" "balancer_to_routers" {
  for_each                 = toset(["8443", "8080"])
  type                     = "egress"
  from_port                = tonumber(each.key)
  to_port                  = tonumber(each.key)
  protocol                 = "tcp"
  security_group_id        = aws_security_group.balancer.id
  source_security_group_id = aws_security_group.router.id
}

resource "aws_lb" "front" {
  name                             = var.name
  load_balancer_type               = "network"
  subnets                          = var.public_subnet_ids
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "routers" {
  name                 = var.name
  vpc_id               = var.vpc_id
  port                 = 8443
  protocol             = "TCP"
  target_type          = "instance"
  proxy_protocol_v2    = true
  preserve_client_ip   = false
  deregistration_delay = 300

  # A router that drains is unready, and accepts for SALLYPORT_DRAIN_DELAY: longer than this takes to notice.
  health_check {
    protocol            = "HTTP"
    port                = "8080"
    path                = "/readyz"
    matcher             = "200"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "front" {
  load_balancer_arn = aws_lb.front.arn
  port              = 443
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.routers.arn
  }
}

data "aws_iam_policy_document" "machine" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secret" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }
}

resource "aws_iam_role" "router" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.machine.json
}

resource "aws_iam_role_policy" "secret" {
  role   = aws_iam_role.router.id
  policy = data.aws_iam_policy_document.secret.json
}

resource "aws_iam_instance_profile" "router" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.router.name
}

resource "aws_launch_template" "router" {
  name_prefix            = "${var.name}-"
  image_id               = var.image_id
  instance_type          = var.instance_type
  vpc_security_group_ids = [aws_security_group.router.id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.router.arn
  }

  metadata_options {
    http_tokens = "required"
  }

  user_data = base64encode(templatefile("${path.module}/cloud-init.yaml.tftpl", {
    region         = data.aws_region.here.name
    secret_arn     = var.secret_arn
    package_url    = var.package_url
    package_sha256 = var.package_sha256
    service        = file("${path.module}/../systemd/sallyport@.service")
    port           = file("${path.module}/../systemd/sallyport.socket")
    # Health checks come from the balancer: the whole machine's address, which the security group guards.
    admin = replace(file("${path.module}/../systemd/sallyport-admin.socket"), "127.0.0.1:8080", "8080")
    environment = merge({
      SALLYPORT_CERT                = "/etc/sallyport/server.crt"
      SALLYPORT_CLIENT_CA           = "/etc/sallyport/client-ca.crt"
      SALLYPORT_PROXY_PROTOCOL      = "required"
      SALLYPORT_PROXY_PROTOCOL_FROM = join(",", var.balancer_cidrs)
      SALLYPORT_DRAIN_DELAY         = "20s"
      SALLYPORT_WORKERS             = "auto"
    }, var.environment)
  }))

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_autoscaling_group" "routers" {
  name_prefix         = "${var.name}-"
  min_size            = var.routers
  max_size            = var.routers + 1
  desired_capacity    = var.routers
  vpc_zone_identifier = var.private_subnet_ids
  target_group_arns   = [aws_lb_target_group.routers.arn]
  health_check_type   = "ELB"
  # From boot to the first answer.
  health_check_grace_period = 180

  launch_template {
    id      = aws_launch_template.router.id
    version = aws_launch_template.router.latest_version
  }

  # A new machine for an old one, which has time to drain: it is taken out of the balancer first.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
    }
  }
}

output "address" {
  description = "What the names of all routes are to lead to (CNAME)."
  value       = aws_lb.front.dns_name
}
